"""A proposal in words at a site that has the data set: sizes for its own columns, and its number of rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.base import is_classifier

from talkoot.core.errors import TalkootError
from talkoot.core.plan import Plan
from talkoot.core.shard import Schema
from talkoot.data.schema import agree
from talkoot.data.shards import Shards
from talkoot.data.tables.source import Source
from talkoot.engines.federation.consent import policy
from talkoot.engines.federation.consent.apart import Untried, rehearse_apart
from talkoot.engines.federation.consent.content import content_of
from talkoot.engines.federation.consent.data_sets import rows_of
from talkoot.engines.federation.consent.desk import Desk
from talkoot.engines.federation.consent.proposal import Proposal
from talkoot.engines.federation.consent.rehearsal import Sent
from talkoot.engines.federation.consent.words import Part, explain
from talkoot.engines.inline import Inline

UNKNOWN = (
    "The plan could not be tried out on invented rows: {}. What would leave is not known: do not approve "
    "without knowing."
)
ONE_CLASS = "All rows of this site have one class. The trial took two, as other sites may have another one."


def explain_at(desk: Desk, proposal: Proposal) -> list[Part]:
    """The proposal in words, for this site.

    Raises:
        Refused: its plan cannot be read.
    """
    content = content_of(proposal, desk.registered)
    problems: list[str] = []
    notes: list[str] = []
    sent, rows, rules = None, None, None
    try:
        rules = policy.load(desk.folder)
        source = desk.data_sets.open(proposal.dataset, proposal.target, proposal.fixes)
        rows = rows_of(source)
        if content.plan is not None:
            sent = _sent(desk, content.plan, source, proposal, notes)
    except Untried as error:
        notes.append(UNKNOWN.format(error))
    except TalkootError as error:
        problems.append(f"{error}{f' ({error.__cause__})' if error.__cause__ else ''}")
    limits = {} if rules is None else {"a_day": rules.rounds_a_day, "least": rules.minimum_rows}
    parts = explain(proposal, content, sent, rows=rows, notes=notes, **limits)
    return [*parts, Part("What is in the way", tuple(problems))] if problems else parts


def _sent(desk: Desk, plan: Plan, source: Source, proposal: Proposal, notes: list[str]) -> list[Sent] | None:
    """What a trial shows; None where no rows can be invented."""
    estimator = getattr(plan.learner, "estimator", None)
    if estimator is None:
        return None
    schema = _schema(source, proposal.target, labels=is_classifier(estimator))
    if declared := bool(proposal.classes) and schema.classes is not None:
        schema = replace(schema, classes=np.array(proposal.classes))
    if schema.classes is not None and len(schema.classes) == 1:
        notes.append(ONE_CLASS)
    sites, known = len(proposal.roster), desk.registered
    return rehearse_apart(plan, schema, sites, folder=desk.folder, registered=known, declared=declared)


def _schema(source: Source, target: str | None, *, labels: bool) -> Schema:
    rows = Shards({source.name: source}, target=target)
    schema, _ = agree(rows, Inline(), labels=labels, target=target is not None)
    return schema

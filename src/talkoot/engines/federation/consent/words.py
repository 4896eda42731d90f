"""A proposal in plain words: what would leave, how often, how many bytes, and what it reveals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

from talkoot.core.round import UPDATE
from talkoot.core.sync import Rounds
from talkoot.engines.federation.consent.content import Content
from talkoot.engines.federation.consent.phrases import alike, arrays_text, bytes_text, many, rounds_text
from talkoot.engines.federation.consent.proposal import Proposal, run_of
from talkoot.engines.federation.consent.rehearsal import Sent
from talkoot.engines.federation.consent.terms_words import (
    FORGOTTEN,
    SCORED,
    SCORES,
    repeated,
    terms_of,
    typical,
)
from talkoot.learners import families

DOES = {
    "fit": "A model is learned from the rows of all sites. The rows stay where they are.",
    "check": "The sites' columns are compared, to find what does not agree before anything is learned.",
    "compare": "Without each fold of the rows in turn a model is learned from all sites, and at this site "
    "one from its own rows alone, which stays here. This site scores both on its rows of the fold.",
    "verify": "A model is learned, and compared with one that is learned in one place.",
    "forget": "This site's part is taken out of a model that was learned before.",
}
REVEALS = {  # one sentence for each family of learners
    "linear": "Sums over all rows that say in which direction each coefficient is to move, or how pairs of "
    "columns vary together.",
    "preprocess": "Counts and sums of each column by itself: its mean, its spread, how many values lie in a "
    "range, or which categories there are.",
    "bayes": "For each class the number of rows, and the mean and the spread of each column.",
    "decompose": "Sums over all rows that say how pairs of columns vary together.",
    "trees": "In each round and for each leaf of a tree: how many rows are in each range of a column, and by "
    "how much the prediction is off for them. Small leaves have few rows.",
    "registered": "What a method of this site's own sends; for a network, by how much training at this site "
    "moved every weight. Such changes can betray single rows, above all of small sites.",
}
QUERIES = {
    "Inventory": "the names and types of the columns, the number of rows, {classes} or the target's mean, "
    "and the mean of each column over the first rows, {least} or more",
    "Inventory hidden": "the names and types of the columns, and {classes}",
    "Totals": "the number of rows, the sum of the target, and of each column its mean over the first rows "
    "times the number of rows",
    "FoldCounts": "how many rows of each class are in each fold",
    "SiteScores": SCORES,
    "Profile": "the number of rows, and the names and types of the columns; of each column of numbers, and "
    "of a target of numbers, means of {least} or more rows that are next to each other in order of size, "
    "without the {least} smallest and the {least} greatest; the texts, the classes, and the numbers of "
    "columns with few different ones, that {least} rows have, and how many rows have them; how many values "
    "are missing, infinite, or text in a column of numbers, where {least} are; to the other sites, sealed so "
    "that nobody else can read them, hashes of whole rows; how many rows another site has too, where these "
    "are {least} or more",
}
AGREEMENT, END = "Before anything else", "At the end"
ENOUGH = "enough"  # rows, where no policy says how many
FEW = 20  # rows below which a sum of them says much about each


@final
@dataclass(frozen=True, slots=True)
class Part:
    """A heading, and sentences below it."""

    title: str
    lines: tuple[str, ...]


def explain(
    proposal: Proposal,
    content: Content,
    sent: Sequence[Sent] | None,
    *,
    rows: int | None = None,
    a_day: int | None = None,
    least: int | None = None,
    notes: Sequence[str] = (),
) -> list[Part]:
    """The proposal in words.

    Args:
        proposal: the proposal.
        content: what its plan holds.
        sent: what a rehearsal showed; None if there could be none.
        rows: the site's rows, where they are known.
        a_day: in how many rounds the site takes part a day, where it is a site that reads.
        least: how many of its rows must have what it reports, where it is a site that reads.
        notes: what is to be known of the rehearsal, or why there was none.
    """
    sent = None if sent is None else typical(proposal, sent)
    limit = ENOUGH if least is None else str(least)
    return [
        _title(proposal),
        Part("What is done", _done(proposal, content)),
        Part("What would leave this site", (*notes, *_leaving(proposal, sent, limit, noted=bool(notes)))),
        Part("How often", (*repeated(proposal), *_often(content, sent, a_day))),
        Part("What it reveals", tuple(_reveals(proposal, content, sent, rows, limit))),
    ]


def outline(proposal: Proposal, content: Content | None) -> list[Part]:
    """The proposal in words where there are no rows, and perhaps not what sites have registered: no sizes.

    Args:
        proposal: the proposal.
        content: what its plan holds; None where it cannot be read.
    """
    parts = [_title(proposal), Part("What is done", _done(proposal, content))]
    if content is None:
        return parts
    often = (*repeated(proposal), *_often(content, None, None))
    reveals = tuple(_reveals(proposal, content, None, None, ENOUGH))
    return [*parts, Part("How often", often), Part("What it reveals", reveals)]


def to_text(parts: Sequence[Part]) -> str:
    """Parts as text for a terminal."""
    return "\n\n".join("\n".join([part.title, *(f"  {line}" for line in part.lines)]) for part in parts)


def _title(proposal: Proposal) -> Part:
    run = run_of(proposal.to_bytes())[:8]
    return Part(f"Proposal {run} of {proposal.researcher}", tuple(_head(proposal)))


def _head(proposal: Proposal) -> Iterator[str]:
    yield f"Purpose: {proposal.purpose or 'none is given'}"
    yield f"Permit: {proposal.permit or 'none is given'}"
    target = f", to predict the column {proposal.target!r}" if proposal.target else ""
    yield f"Data set: {proposal.dataset}{target}"
    yield f"Sites: {', '.join(proposal.roster)}"
    if proposal.until:
        yield f"Until: {proposal.until}"


def _done(proposal: Proposal, content: Content | None) -> tuple[str, ...]:
    """What is done; of a plan that cannot be read here, as far as the proposal says it."""
    unread = "The plan names what sites have registered themselves, so that it can be read there only."
    learners = (unread,) if content is None else tuple(_learners(content))
    return (DOES[proposal.kind], *learners, *_agreed(proposal), *terms_of(proposal))


def _learners(content: Content) -> Iterator[str]:
    if content.learners:
        yield f"The method: {', '.join(content.learners)}."


def _agreed(proposal: Proposal) -> Iterator[str]:
    """What was agreed on about the columns."""
    for each in proposal.consents:
        yield f"With the consent of {each.site}: its part of the run {each.run[:8]} may become known."
    if proposal.classes:
        yield f"The target's classes: {', '.join(map(repr, proposal.classes))}; a site with another refuses."
    if proposal.fixes:
        yield "Before anything else, sites read these columns otherwise than they stand there:"
        yield from (f"- {each}." for each in proposal.fixes)


def _leaving(proposal: Proposal, sent: Sequence[Sent] | None, least: str, *, noted: bool) -> Iterator[str]:

    if proposal.kind == "check":
        yield from (f"- {part};" for part in QUERIES["Profile"].format(least=least).split("; "))
        return
    if sent is None:
        if not noted:
            yield "Sizes are not known: no rows could be invented that fit the plan."
        return
    yield "The sizes are those of a trial on invented rows with such columns; real ones may need more rounds."
    for group in alike([one for one in sent if one.phase == UPDATE]):
        first, last = group[0], group[-1]
        size = max(one.bytes for one in group)
        if first.query:
            known = QUERIES.get(first.query, "").format(least=least, classes=_labels(proposal, least))
            when = END if first.query == "SiteScores" else AGREEMENT
            yield f"{when}: {known or arrays_text(first.leaves)} ({bytes_text(size)})."
        else:
            yield f"{rounds_text(first, last)}: {arrays_text(first.leaves)} ({bytes_text(size)})."
    if phases := list(dict.fromkeys(one.phase for one in sent if one.phase != UPDATE)):
        size = sum(max(one.bytes for one in sent if one.phase == phase) for phase in phases)
        yield f"Around each masked sum, nothing of the rows: {', '.join(phases)} ({bytes_text(size)})."


def _labels(proposal: Proposal, least: str) -> str:
    """What is reported of the classes."""
    declared = "whether the target has other classes than those that are declared"
    return declared if proposal.classes else f"the classes of the target that {least} rows have"


def _often(content: Content, sent: Sequence[Sent] | None, a_day: int | None) -> Iterator[str]:
    plan = content.plan
    rounds = [one for one in sent or () if not one.query and one.phase == UPDATE]
    if plan is None or (sent is not None and not rounds):
        yield "Once."
        return
    limit = plan.sync.limit if isinstance(plan.sync, Rounds) else None
    tried = f" On invented rows it took {many(len(rounds), 'round')}." if rounds else ""
    steps = _most_steps(getattr(plan.learner, "estimator", None))
    if limit is not None:
        yield f"At most {many(limit, 'round')}."
    elif len(rounds) == 1:
        yield "In one round."
    elif steps is not None:
        yield (
            f"Until the answer changes no more, after {many(steps, 'step')} at the latest; "
            f"most steps take one round.{tried}"
        )
    else:
        yield f"Until the answer changes no more.{tried}"
    if rounds:
        total = sum(one.bytes for one in sent or ())
        yield f"In the trial a site sent {bytes_text(total)} altogether."
    if a_day is not None:
        yield f"This site's policy ends it after {many(a_day, 'round')} a day, of all runs together."


def _most_steps(estimator: Any) -> int | None:
    """After how many steps an estimator, or the most patient of its parts, gives up."""
    if estimator is None:
        return None
    found = [
        value
        for name, value in estimator.get_params(deep=True).items()
        if name.endswith("max_iter") and isinstance(value, int)
    ]
    return max(found, default=None)


def _reveals(
    proposal: Proposal, content: Content, sent: Sequence[Sent] | None, rows: int | None, least: str
) -> Iterator[str]:
    yield from (REVEALS[name] for name in families(content.learners) if name in REVEALS)
    if any(not families([name]) and name not in QUERIES for name in content.learners):
        yield REVEALS["registered"]
    if proposal.kind == "check":
        yield (
            "It is read site by site, by the coordinator and the researcher. Nothing of it is about fewer "
            f"than {least} rows of this site, whatever the researcher proposes. Two checks with other fixes, "
            "or between which many rows were changed, can be subtracted and say more. Another site that "
            "guesses all values of a row could find out whether that row is here."
        )
        return
    yield from _readers(proposal, content, sent)
    if proposal.kind == "compare":
        yield SCORED
    if len(proposal.roster) <= 2 and proposal.kind != "forget":
        yield (
            "With two sites nothing is secure: whoever knows the total and one site's part "
            "knows the other's. That holds with masks too."
        )
    if content.masked:
        return
    numbers = sum(one.numbers for one in sent or () if not one.query)
    if rows is not None and numbers >= rows:
        yield (
            f"This site has {many(rows, 'row')}, and {many(numbers, 'number')} about them would leave in "
            "the trial. Do not rely on sums alone to hide single rows."
        )
    elif rows is not None and rows < FEW:
        yield f"This site has {many(rows, 'row')}: a sum over so few says much about each."


def _readers(proposal: Proposal, content: Content, sent: Sequence[Sent] | None) -> Iterator[str]:
    """Who can read what."""
    queries = [one for one in sent or () if one.query and one.phase == UPDATE]
    apart = [one for one in queries if one.apart and one.query != "SiteScores"]
    if apart and not content.masked:
        yield "What is sent before anything else is read site by site, by the coordinator and the researcher."
    elif apart:
        yield "Only columns and classes are read site by site, by the coordinator and the researcher."
    if content.plan is None:
        return
    if proposal.kind == "forget":
        yield FORGOTTEN
    elif content.masked and len(proposal.roster) > 2:
        yield (
            "The sums are sent under masks: coordinator and researcher can read the total of all sites, "
            "and nothing of one site. Totals of nearly the same question over different sites can be "
            "subtracted from each other."
        )
    elif content.masked:
        yield "The sums are sent under masks: coordinator and researcher can read the total."
    elif content.plan.merge.needs == "each":
        yield "The answers of sites are not added up: coordinator and researcher can read each."
    else:
        yield "The sums are sent openly: the coordinator can read each site's, the researcher the total."

"""What a proposed plan consists of, read without running any of it, and what belongs to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

from talkoot.core.engine import View
from talkoot.core.errors import Refused
from talkoot.core.learner import Learner
from talkoot.core.plan import Plan
from talkoot.core.round import Round
from talkoot.core.shard import UNKNOWN
from talkoot.core.transform import Stage
from talkoot.data.contract.profile import Profile
from talkoot.data.contract.shared_rows import SealedRows, SharedRows
from talkoot.data.inventory import Inventory
from talkoot.data.totals import Totals
from talkoot.engines.federation.consent.proposal import Kind, Proposal, run_of
from talkoot.engines.federation.consent.terms import require_terms, scorers, splits
from talkoot.engines.federation.ledger.ledger import Sum
from talkoot.formats.frames import from_bytes
from talkoot.formats.names import Registered
from talkoot.formats.plans import part_digest, plan_from_bytes, plan_to_bytes
from talkoot.learners.held_out.folds import TrainingRows
from talkoot.learners.held_out.scores import FoldCounts
from talkoot.learners.held_out.site_scores import SiteScores

QUERIES: Mapping[Kind, tuple[type[Learner], ...]] = {  # what may be placed besides the plan
    "fit": (Inventory, Totals),
    "check": (Profile, SealedRows, SharedRows),
    "compare": (Inventory, Totals, FoldCounts, SiteScores),
    "verify": (Inventory, Totals),
    "forget": (),
}


_QUERY_NAMES = {query.__name__ for queries in QUERIES.values() for query in queries}


@final
@dataclass(frozen=True, slots=True)
class Content:
    """What a proposal holds.

    Args:
        plan: the plan; None where the kind alone says what is done.
        learners: the names of all estimators in it, and of all that the site has registered.
        masked: whether of its sums only the total can be read.
    """

    plan: Plan | None
    learners: tuple[str, ...] = ()
    masked: bool = False


def content_of(proposal: Proposal, registered: Registered) -> Content:
    """What a proposal holds. Nothing is imported but numpy's and scipy's functions of arrays.

    Raises:
        Refused: the plan cannot be read: it is damaged, or names what is neither in the catalogue nor
            registered.
    """
    require_terms(proposal)
    if not proposal.plan:
        if proposal.kind != "check":
            raise Refused(f"a proposal to {proposal.kind} needs a plan")
        return Content(None)
    try:
        plan = plan_from_bytes(proposal.plan, registered=registered)
        data, _ = from_bytes(proposal.plan)
        names = tuple(dict.fromkeys(_names(data, registered)))
    except Exception as error:  # whatever constructors make of a stranger's parameters
        cause = getattr(error, "cause", None) or repr(error)
        raise Refused(f"the plan cannot be read: {cause:.300}") from None
    if plan.schema is not UNKNOWN:
        raise Refused("the plan holds a schema, which nodes agree on only later")
    return Content(plan, names, is_masked(plan))


def is_masked(plan: Plan) -> bool:
    """Whether of a plan's sums only the total can be read."""
    return any(link.stage is Stage.MASK for link in plan.chain)


def sum_of(proposal: Proposal, plan: Plan | None) -> Sum:
    """What others can read of answers to a plan of a proposal; reports of single sites are no sums."""
    learner = None if plan is None else plan.learner
    hidden = isinstance(learner, Inventory) and learner.hidden
    apart = learner is None or hidden or isinstance(learner, Profile | SealedRows | SharedRows | SiteScores)
    return Sum(
        run=run_of(proposal.to_bytes()),
        dataset=proposal.dataset,
        sites=() if apart else tuple(sorted(proposal.roster)),
        masked=plan is not None and is_masked(plan),
    )


def require_all(proposal: Proposal, plan: Plan, rnd: Round) -> None:
    """Refuse a secure sum of fewer sites than were approved, where the answer is made of the rows of all.

    Raises:
        Refused: with the sum of all, it would show what the others have.
    """
    if is_masked(plan) and plan.learner.needs_all and set(rnd.cohort) != set(proposal.roster):
        raise Refused(
            f"{len(set(rnd.cohort))} sites take part in round {rnd.index}, and {len(proposal.roster)} were "
            "approved: with the sum of all, theirs would show what the others have",
            cure="Hold the round with all sites.",
        )


def require_belongs(plan: Plan, view: View | None, proposal: Proposal, registered: Registered) -> None:
    """Refuse a placement that is not what was approved.

    Raises:
        Refused: it is neither the proposal's plan nor a query that its kind needs, or looks at other rows.
    """
    approved, learner = content_of(proposal, registered).plan, plan.learner
    placed = plan_to_bytes(plan.agreed(UNKNOWN), registered=registered)
    ours = approved is not None and placed == plan_to_bytes(approved, registered=registered)
    _require_rows(view, proposal, training=ours and proposal.kind == "compare")
    if ours:
        return
    if type(learner) not in QUERIES[proposal.kind]:
        raise Refused(f"{learner.name} is not part of what was approved")
    if approved is not None and is_masked(approved):
        _require_hidden(plan, approved)
    if isinstance(learner, Inventory | Totals) and learner.target not in (None, proposal.target):
        raise Refused(f"the query asks for the target {learner.target!r:.80}, which was not approved")
    if isinstance(learner, Inventory | Totals) and learner.classes not in ((), tuple(proposal.classes)):
        raise Refused("the query names classes that were not approved")
    if isinstance(learner, FoldCounts | SiteScores):
        _require_compared(learner, proposal, approved)


def _require_rows(view: View | None, proposal: Proposal, *, training: bool) -> None:
    """Refuse a view of other rows than were approved: all, or for a comparison those without a fold."""
    if training != isinstance(view, TrainingRows):
        raise Refused("a comparison learns without one fold at a time, and nothing else does")
    if isinstance(view, TrainingRows) and not (
        view.folds in splits(proposal) and view.fold in range(view.folds.count)
    ):
        raise Refused(f"fold {view.fold} of {view.folds} is not one of those that were approved")


def _require_compared(query: FoldCounts | SiteScores, proposal: Proposal, approved: Plan | None) -> None:
    """Refuse a query that counts or scores other rows or models than were approved."""
    if query.splits != splits(proposal):
        raise Refused("the query splits rows in another way than was approved")
    if isinstance(query, FoldCounts):
        if not query.total:
            raise Refused("the query counts the rows of each site, and their total is enough")
    elif approved is None or part_digest(query.unfitted) != part_digest(
        getattr(approved.learner, "estimator", None)
    ):
        raise Refused("the query learns something else alone than was approved")
    elif query.scoring not in scorers(proposal):
        raise Refused(f"the score {query.scoring!r:.80} was not approved")


def _require_hidden(plan: Plan, approved: Plan) -> None:
    """Refuse a query that shows more of one site than the masked plan that it is for."""
    hides = isinstance(plan.learner, SiteScores) or (
        isinstance(plan.learner, Inventory) and plan.learner.hidden
    )
    masks, known = ([link for link in each.chain if link.stage is Stage.MASK] for each in (plan, approved))
    if not hides and masks != known:
        raise Refused(f"the plan is masked, and the query {plan.learner.name} is not")


def _names(data: Any, registered: Registered) -> Iterator[str]:
    """The names of estimators and registered things in a plan's data, in order."""
    if isinstance(data, list):
        for item in data:
            yield from _names(item, registered)
    elif isinstance(data, dict):
        match data:
            case {"$": "estimator", "class": str() as name} | {"$": "registered", "name": str() as name}:
                yield name
            case {"$": "type", "name": str() as name} if name in {*registered, *_QUERY_NAMES}:
                yield name
        for item in data.values():
            yield from _names(item, registered)

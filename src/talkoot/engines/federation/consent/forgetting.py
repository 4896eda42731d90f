"""What a site looks at before it sends its own sums, so that a model can be rid of them."""

from __future__ import annotations

from collections.abc import Collection

from talkoot.core.errors import Refused
from talkoot.engines.federation.consent.content import Content, content_of
from talkoot.engines.federation.consent.journal import Journal
from talkoot.engines.federation.consent.policy import FEWEST_UNDER_MASKS
from talkoot.engines.federation.consent.proposal import Proposal, from_bytes
from talkoot.formats.names import Registered
from talkoot.formats.plans import part_digest

SAME = ("dataset", "target", "classes", "fixes", "researcher")


def require_fitted(
    proposal: Proposal,
    content: Content,
    site: str,
    journal: Journal,
    registered: Registered,
    gone: Collection[str] = (),
) -> None:
    """Refuse to forget what was not learned here: the run, its data, and its learner.

    The sites in `gone` are forgotten already.

    Raises:
        Refused: it is another site's turn, or the run was not approved here, or was about something else, or
            a secure sum of too few sites would be left.
    """
    run, named = str(proposal.terms["run"]), str(proposal.terms["site"])
    if named != site:
        raise Refused(f"the part of {named!r:.80} is to be forgotten, and this is {site}")
    found = [from_bytes(signed.proposal) for signed, _ in journal.proposals(run)]
    approved = any(decision.state == "approved" for decision in journal.decisions(run))
    if len(found) != 1 or not approved:
        raise Refused(f"the run {run[:12]!r}, of which it is to be forgotten, was not approved here")
    fit = content_of(found[0], registered)
    assert content.plan is not None
    if (
        fit.plan is None
        or any(getattr(found[0], name) != getattr(proposal, name) for name in SAME)
        or part_digest(fit.plan.learner) != part_digest(content.plan.learner)
    ):
        raise Refused(f"the run {run[:12]} was about something else")
    if fit.masked and len(found[0].roster) - len(gone) <= FEWEST_UNDER_MASKS:
        raise Refused(
            f"fewer than {FEWEST_UNDER_MASKS} sites of the run {run[:12]} would be left, and a secure sum of "
            "them hides nothing"
        )

"""How many rows must have what a site reports of its columns or scores: as many as its policy demands."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

from talkoot.core.plan import Plan
from talkoot.data.contract.profile import Profile
from talkoot.data.contract.shared_rows import SealedRows, SharedRows
from talkoot.data.inventory import Inventory
from talkoot.engines.federation.consent.proposal import Proposal, roster_of, run_of
from talkoot.engines.federation.identity.identity import Identity
from talkoot.engines.federation.identity.sealing import Sealing
from talkoot.learners.held_out.site_scores import SiteScores


def with_seals(plan: Plan, proposal: Proposal, identity: Identity) -> Plan:
    """A plan whose query knows the keys that this site shares with each other one; others as they are.

    Raises:
        Refused: a certificate of the roster does not count any more.
    """
    if not isinstance(plan.learner, SealedRows | SharedRows):
        return plan
    seals = Sealing(identity, roster_of(proposal, identity), run_of(proposal.to_bytes()))
    made = copy(plan)
    object.__setattr__(made, "learner", replace(plan.learner, seals=seals))
    return made


def with_thresholds(plan: Plan, least: int) -> Plan:
    """A plan whose queries report nothing of fewer than `least` rows; others as they are.

    The researcher's own number does not count, lower or higher: from means of 20 and of 21 rows follow
    single ones.
    """
    if not isinstance(plan.learner, Inventory | Profile | SealedRows | SharedRows | SiteScores):
        return plan
    made = copy(plan)
    object.__setattr__(made, "learner", replace(plan.learner, least=least))
    return made

"""How many rows must have what a site reports of its columns: as many as its policy demands."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

from talkoot.core.plan import Plan
from talkoot.data.contract.profile import Profile
from talkoot.data.inventory import Inventory


def with_thresholds(plan: Plan, least: int) -> Plan:
    """A plan whose queries report nothing of fewer than `least` rows; others as they are.

    The researcher's own number does not count, lower or higher: from means of 20 and of 21 rows follow
    single ones.
    """
    if not isinstance(plan.learner, Inventory | Profile):
        return plan
    made = copy(plan)
    object.__setattr__(made, "learner", replace(plan.learner, least=least))
    return made

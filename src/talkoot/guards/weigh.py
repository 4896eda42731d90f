"""Weigh: a weighted mean as a sum of weighted updates, divided by the sum of the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.errors import PlanError
from talkoot.core.transform import Stage, Transform
from talkoot.core.update import Update

WEIGHT = "weigh.weight"


@final
@dataclass(frozen=True, slots=True)
class Weigh(Transform):
    """Make the merged sum a weighted mean; the weight is sent as one more leaf, so masks hide it too."""

    # "rows": each node counts by its update's weight; "nodes": each node with rows counts 1
    by: Literal["rows", "nodes"] = "rows"
    scope: ClassVar[Literal["leaf", "update"]] = "update"
    stage: ClassVar[Stage] = Stage.WEIGH

    def __post_init__(self) -> None:
        if self.by not in ("rows", "nodes"):
            raise PlanError(f"weigh({self.by!r}) is unknown", cure='Write weigh("rows") or weigh("nodes").')

    def encode(self, update: Update, state: None, ctx: Ctx) -> tuple[Update, None]:
        """Scale every SUM leaf by the node's weight."""
        weight = update.weight if self.by == "rows" else float(update.weight > 0)
        values = {**update.scaled(weight).values, WEIGHT: np.array([weight])}
        return Update(values=values, weight=update.weight, kinds=update.kinds), None

    def decode(self, update: Update, state: None, ctx: Ctx) -> tuple[Update, None]:
        """Divide by the sum of the weights; where it is zero the update is empty."""
        weight = float(update.values[WEIGHT][0]) if WEIGHT in update.values else 0.0
        rest = {name: value for name, value in update.values.items() if name != WEIGHT}
        if weight == 0.0:
            return Update(), None
        return Update(values=rest, weight=update.weight, kinds=update.kinds).scaled(1 / weight), None


def weigh(by: Literal["rows", "nodes"] = "rows") -> Weigh:
    """A mean over nodes instead of a sum.

    Args:
        by: "rows": each node counts by its update's weight; "nodes": each node with rows counts 1.

    Raises:
        PlanError: `by` is neither.

    >>> weigh("rows")
    Weigh(by='rows')
    """
    return Weigh(by)

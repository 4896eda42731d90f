"""A transform is a pair: encode at the node, in order; decode after the merge, reversed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Literal, final

from talkoot.core.context import Ctx
from talkoot.core.errors import PlanError
from talkoot.core.update import Update


@final
class Stage(IntEnum):
    """Where a transform may stand: a chain climbs, it never goes back down."""

    CLIP = 1
    WEIGH = 2
    NOISE = 3
    CODEC = 4
    FIXED = 5
    MASK = 6


class Transform(ABC):
    """One link of a chain.

    Class attributes:
        additive: encoded updates may be added, and decode reads only the sum.
        bias: what decode(sum(encode)) is to the plain sum: "exact", "unbiased" or "biased".
        scope: "leaf": each leaf by itself; "update": all leaves together (a norm, a weight).
        stage: its place in a chain.
        readable: an encoded update still says by itself what the node said, so that rules which must
            see each (a median, say) may read it.
    """

    additive: ClassVar[bool] = True
    readable: ClassVar[bool] = False
    bias: ClassVar[Literal["exact", "unbiased", "biased"]] = "exact"
    scope: ClassVar[Literal["leaf", "update"]] = "leaf"
    stage: ClassVar[Stage]

    @abstractmethod
    def encode(self, update: Update, state: Any, ctx: Ctx) -> tuple[Update, Any]:
        """At the node. `state` is None in the first round and stays at the node."""

    @abstractmethod
    def decode(self, update: Update, state: Any, ctx: Ctx) -> tuple[Update, Any]:
        """After the merge: a deterministic function of (merged, state, ctx)."""


@final
@dataclass(frozen=True, slots=True)
class Chain:
    """Transforms in the order in which a node applies them. Refuses an order that would be wrong."""

    links: tuple[Transform, ...] = ()

    def __post_init__(self) -> None:
        for before, after in zip(self.links, self.links[1:], strict=False):
            if before.stage >= after.stage:
                order = " -> ".join(stage.name.lower() for stage in Stage)
                raise PlanError(
                    f"{after} cannot stand behind {before}",
                    cure=f"Chains climb, one of each: {order}.",
                )

    def __iter__(self) -> Iterator[Transform]:
        return iter(self.links)

    @property
    def additive(self) -> bool:
        """Whether encoded updates may be added on the wire."""
        return all(link.additive for link in self.links)

    @property
    def weighs(self) -> bool:
        """Whether the decoded sum is a mean."""
        return any(link.stage is Stage.WEIGH for link in self.links)

    def encode(self, update: Update, state: Any, ctx: Ctx) -> tuple[Update, tuple[Any, ...]]:
        """Apply every link, first to last. `state` is one entry a link, or None at the start."""
        kept = []
        for link, held in zip(self.links, state or (None,) * len(self.links), strict=True):
            update, held = link.encode(update, held, ctx)
            kept.append(held)
        return update, tuple(kept)

    def decode(self, update: Update, state: Any, ctx: Ctx) -> tuple[Update, tuple[Any, ...]]:
        """Undo every link, last to first."""
        kept: list[Any] = []
        pairs = list(zip(self.links, state or (None,) * len(self.links), strict=True))
        for link, held in reversed(pairs):
            update, held = link.decode(update, held, ctx)
            kept.append(held)
        return update, tuple(reversed(kept))

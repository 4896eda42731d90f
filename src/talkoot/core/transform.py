"""A transform is a pair: encode at the node, in order; decode after the merge, reversed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Literal, final

from talkoot.core.context import Ctx
from talkoot.core.errors import PlanError, TalkootError
from talkoot.core.round import UPDATE
from talkoot.core.update import Update


@final
class Stage(IntEnum):
    """Where a transform may stand: stages must be strictly increasing along a chain."""

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
        sum_only: decode makes sense of the sum alone, never of one node's update, as under a mask.
        before, after: names of phases that it holds before and after the nodes work, see `answer`.
        behind: the stage that must stand before it, if any.
    """

    additive: ClassVar[bool] = True
    sum_only: ClassVar[bool] = False
    before: ClassVar[tuple[str, ...]] = ()
    after: ClassVar[tuple[str, ...]] = ()
    behind: ClassVar[Stage | None] = None
    bias: ClassVar[Literal["exact", "unbiased", "biased"]] = "exact"
    scope: ClassVar[Literal["leaf", "update"]] = "leaf"
    stage: ClassVar[Stage]

    @abstractmethod
    def encode(self, update: Update, state: Any, ctx: Ctx) -> tuple[Update, Any]:
        """At the node. `state` is None in the first round and stays at the node."""

    @abstractmethod
    def decode(self, update: Update, state: Any, ctx: Ctx) -> tuple[Update, Any]:
        """After the merge: a deterministic function of (merged, state, ctx)."""

    def answer(self, phase: str, state: Any, ctx: Ctx) -> tuple[Update, Any]:
        """At the node, in one of its phases: what nodes get to read (`Ctx.posted`), and its state."""
        raise NotImplementedError(f"{self} holds no phase {phase!r}")

    def obstacle(self, ctx: Ctx) -> TalkootError | None:
        """Why the sum of a round cannot be decoded, though enough nodes sent it: then it does not count."""
        del ctx
        return None


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
                    cure=f"The order is, one of each: {order}.",
                )
        for link in self.links:
            if link.behind is not None and link.behind not in [other.stage for other in self.links]:
                raise PlanError(
                    f"{link} works on what stage {link.behind.name.lower()} makes, and there is none",
                    cure="Write [tk.fixed(), tk.mask()], for example.",
                )
        if len(set(self.phases)) < len(self.phases):
            raise PlanError(f"two phases of a round have one name: {', '.join(self.phases)}")

    def __iter__(self) -> Iterator[Transform]:
        return iter(self.links)

    @property
    def weighs(self) -> bool:
        """Whether the decoded sum is a mean."""
        return any(link.stage is Stage.WEIGH for link in self.links)

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases of a round, in their order; in UPDATE the nodes work."""
        before = (phase for link in self.links for phase in link.before)
        return (*before, UPDATE, *(phase for link in self.links for phase in link.after))

    @property
    def talks(self) -> bool:
        """Whether it holds phases."""
        return any(link.before or link.after for link in self.links)

    def encode(self, update: Update, state: Any, ctx: Ctx) -> tuple[Update, tuple[Any, ...]]:
        """Apply every link, first to last. `state` is one entry a link, or None at the start."""
        states = []
        for link, before in zip(self.links, self._states(state), strict=True):
            update, after = link.encode(update, before, ctx)
            states.append(after)
        return update, tuple(states)

    def decode(self, update: Update, state: Any, ctx: Ctx) -> tuple[Update, tuple[Any, ...]]:
        """Undo every link, last to first."""
        states: list[Any] = []
        for link, before in reversed(list(zip(self.links, self._states(state), strict=True))):
            update, after = link.decode(update, before, ctx)
            states.append(after)
        return update, tuple(reversed(states))

    def answer(self, phase: str, state: Any, ctx: Ctx) -> tuple[Update, tuple[Any, ...]]:
        """At the node: the answer of the link that holds `phase`."""
        states = list(self._states(state))
        at = next(i for i, link in enumerate(self.links) if phase in (*link.before, *link.after))
        update, states[at] = self.links[at].answer(phase, states[at], ctx)
        return update, tuple(states)

    def obstacle(self, ctx: Ctx) -> TalkootError | None:
        """Why the sum of a round cannot be decoded; None where it can."""
        return next((error for link in self.links if (error := link.obstacle(ctx)) is not None), None)

    def _states(self, state: Any) -> tuple[Any, ...]:
        return state or (None,) * len(self.links)

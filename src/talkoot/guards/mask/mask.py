"""Mask: only the sum of all updates can be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

from talkoot.core.context import Ctx
from talkoot.core.errors import PlanError, TalkootError
from talkoot.core.transform import Stage, Transform
from talkoot.core.update import Update
from talkoot.guards.mask import checks, node
from talkoot.guards.mask.identity import Identity
from talkoot.guards.mask.messages import KEYS, SHARES, SURVIVORS, UNMASK
from talkoot.guards.mask.node import SUM, RoundState
from talkoot.guards.mask.reading import Reading


@final
@dataclass(frozen=True, slots=True)
class Mask(Transform):
    """The secure sum of Bonawitz et al. 2017 against a coordinator that may cheat; see `mask`.

    Args:
        cheats: nodes that may work together with the coordinator.
        identity: the node's own key and the roster of all; it never travels.
    """

    cheats: int = 0
    identity: Identity | None = field(default=None, repr=False, compare=False)
    sum_only: ClassVar[bool] = True
    scope: ClassVar[Literal["leaf", "update"]] = "update"
    stage: ClassVar[Stage] = Stage.MASK
    behind: ClassVar[Stage | None] = Stage.FIXED
    before: ClassVar[tuple[str, ...]] = (KEYS, SHARES)
    after: ClassVar[tuple[str, ...]] = (SURVIVORS, UNMASK)

    def __post_init__(self) -> None:
        if self.cheats < 0:
            raise PlanError(f"mask(cheats={self.cheats}) is no number of nodes", cure="Take 0 or more.")

    def answer(self, phase: str, state: RoundState | None, ctx: Ctx) -> tuple[Update, RoundState | None]:
        """At the node: keys, shares, a signature on the survivors, or secrets that take masks away."""
        if phase == KEYS:
            return node.announce(self.identity, ctx)
        state = self._of_round(state, ctx)
        me = self.identity or state.own
        assert me is not None
        if phase == SHARES:
            return node.share(me, state, ctx, self.cheats)
        if phase == SURVIVORS:
            return node.agree(me, state, ctx, self.cheats)
        return node.release(me, state, ctx, self.cheats), None

    def encode(self, update: Update, state: RoundState | None, ctx: Ctx) -> tuple[Update, RoundState]:
        """The update under masks, as one leaf."""
        return node.hide(update, self._of_round(state, ctx), ctx, self.cheats)

    def obstacle(self, ctx: Ctx) -> TalkootError | None:
        """Whether enough shares are there."""
        return Reading.of(ctx, self.cheats).obstacle()

    def decode(self, update: Update, state: None, ctx: Ctx) -> tuple[Update, None]:
        """The sum without masks."""
        reading = Reading.of(ctx, self.cheats)
        return Update(values=reading.unmasked(update.values[SUM])), None

    def _of_round(self, state: RoundState | None, ctx: Ctx) -> RoundState:
        checks.require_round(None if state is None else state.round, ctx.round)
        assert state is not None
        return state


def mask(cheats: int = 0) -> Mask:
    """Hide every node's update under masks that cancel in the sum, so that nobody reads more than the sum.

    In each round nodes agree on masks through the coordinator, in phases before and after they work, by the
    protocol of Bonawitz et al. 2017 against a coordinator that cheats, with the graph of Bell et al. 2020
    beyond 50 nodes. Nodes may be lost in any phase: as long as more than half are left, the sum of those
    whose update arrived can be read. Row counts, weights and metrics are hidden too. At least three nodes
    take part; a node without rows is refused, and so are leaves that do not add, such as a least or a union.

    Where all nodes belong to one owner, they believe the keys that they see. Across organisations each site
    brings its `Identity`, with its certified key and the approved roster: ``replace(mask, identity=...)``.

    Args:
        cheats: nodes that may work together with the coordinator; the more, the fewer may be lost.

    Raises:
        PlanError: there is no `fixed` before it, or the package cryptography is missing.

    >>> import numpy as np, talkoot as tk
    >>> from sklearn.linear_model import Ridge
    >>> X = np.random.default_rng(0).normal(size=(30, 2))
    >>> y = X @ [1.0, 2.0]
    >>> masked = tk.fit(Ridge(), X, y, nodes=3, chain=[tk.fixed(), tk.mask()]).model
    >>> plain = tk.fit(Ridge(), X, y, nodes=3, chain=[tk.fixed()]).model
    >>> bool((masked.coef_ == plain.coef_).all())
    True
    """
    return Mask(cheats)

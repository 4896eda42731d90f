"""Transforms that need a conversation: phases before and after a round, and what is on the board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import pytest

import talkoot as tk
from talkoot.core.context import Ctx, addressed
from talkoot.core.engine import Engine, Run
from talkoot.core.errors import PlanError, QuorumError, TalkootError
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.sync import rounds
from talkoot.core.transform import Stage, Transform
from talkoot.core.update import Update
from talkoot.data.schema import agree
from talkoot.testing.scripted import Scripted
from talkoot.testing.toys import Count, Walk

DATA = {"a": np.eye(3), "a/b": np.ones((2, 3)), "c": np.zeros((4, 3))}


@final
@dataclass(frozen=True)
class Pairwise(Transform):
    """A mask for each pair of nodes, agreed in a phase before; what is left of those who are lost, after."""

    stage: ClassVar[Stage] = Stage.MASK
    sum_only: ClassVar[bool] = True
    before: ClassVar[tuple[str, ...]] = ("masks",)
    after: ClassVar[tuple[str, ...]] = ("survivors",)

    def answer(self, phase: str, state: Any, ctx: Ctx) -> tuple[Update, Any]:
        if phase == "masks":
            mine = {node: int.from_bytes(ctx.secret(4), "little") for node in ctx.cohort if node > ctx.node}
            values = {addressed(node, "mask"): np.array([float(m)]) for node, m in mine.items()}
            return Update(values={**values, "public": np.array([1.0])}), mine
        masks = {**state, **self._received(ctx)}
        lost = [node for node in masks if node not in ctx.cohort]
        return Update(values={"left": np.array([sum(masks[n] * _sign(ctx.node, n) for n in lost)])}), state

    def encode(self, update: Update, state: Mapping[str, float], ctx: Ctx) -> tuple[Update, Any]:
        assert sorted(ctx.posted("masks")) == sorted(ctx.cohort)
        assert all("public" in values for values in ctx.posted("masks").values())
        masks = {**state, **self._received(ctx)}
        total = sum(mask * _sign(ctx.node, node) for node, mask in masks.items())
        return Update(values={"rows": update.values["rows"] + total}, weight=update.weight), state

    def decode(self, update: Update, state: Any, ctx: Ctx) -> tuple[Update, Any]:
        left = sum(float(values["left"][0]) for values in ctx.posted("survivors").values())
        return Update(values={"rows": update.values["rows"] - left}, weight=update.weight), state

    def _received(self, ctx: Ctx) -> dict[str, float]:
        posted = ctx.posted("masks")
        return {node: float(v["mask"][0]) for node, v in posted.items() if "mask" in v and node < ctx.node}


def _sign(node: str, other: str) -> int:
    return 1 if node < other else -1


def counted(engine: Engine, **sync: Any) -> float:
    schema, bound = agree(tk.shards(DATA), tk.Inline())
    plan = Plan(Count(), chain=[Pairwise()], sync=rounds(**sync))
    done = run(plan, bound, engine, schema=schema)
    return float(done.update.values["rows"][0])


@pytest.mark.parametrize(
    "engine", [tk.Inline(), tk.Inline(2), pytest.param(tk.Local(2), marks=pytest.mark.wide)], ids=repr
)
def test_masks_agreed_in_a_phase_cancel_in_the_sum_on_every_engine(engine: Engine) -> None:
    assert counted(engine) == 9.0


def test_nodes_read_what_is_addressed_to_them_alone() -> None:
    board = {"p": {"x": {addressed("a", "b/s"): 1, addressed("a/b", "s"): 2, "public": 3}}}
    assert Ctx(node="a", board=board).posted("p") == {"x": {"b/s": 1, "public": 3}}
    assert Ctx(node="a/b", board=board).posted("p") == {"x": {"s": 2, "public": 3}}
    assert Ctx(node="c", board=board).posted("p") == {"x": {"public": 3}}


def test_who_is_lost_after_the_masks_is_subtracted_by_the_survivors() -> None:
    schema, bound = agree(tk.shards(DATA), tk.Inline())
    plan = Plan(Walk(), chain=[_Survivors()], sync=rounds(1, quorum=2))
    done = run(plan, bound, Scripted([["c"]]), schema=schema)
    assert done.history[0].arrived == ("a", "a/b")
    assert done.history[0].round.cohort == ("a", "a/b", "c")
    assert list(done.history[0].failed) == ["c"]


@final
@dataclass(frozen=True)
class _Survivors(Transform):
    """Sees who arrived."""

    stage: ClassVar[Stage] = Stage.MASK
    after: ClassVar[tuple[str, ...]] = ("survivors",)

    def answer(self, phase: str, state: Any, ctx: Ctx) -> tuple[Update, Any]:
        assert ctx.cohort == ("a", "a/b")
        return Update(values={"here": np.ones(1)}), state

    def encode(self, update: Update, state: Any, ctx: Ctx) -> tuple[Update, Any]:
        return update, state

    def decode(self, update: Update, state: Any, ctx: Ctx) -> tuple[Update, Any]:
        assert sorted(ctx.posted("survivors")) == ["a", "a/b"]
        return update, state


def test_a_secret_does_not_follow_from_the_seed() -> None:
    assert Ctx(seed=1).secret() != Ctx(seed=1).secret()
    assert len(Ctx().secret(16)) == 16


def test_a_robust_rule_cannot_read_what_is_masked() -> None:
    with pytest.raises(PlanError, match="only the sum can be read"):
        Plan(Walk(), chain=[Pairwise()], merge=tk.Median(), sync=rounds(1))


@final
@dataclass(frozen=True)
class _Noted(Transform):
    """Holds a phase before and one after, and can read no sum of fewer than `least` nodes."""

    least: int = 0
    stage: ClassVar[Stage] = Stage.MASK
    before: ClassVar[tuple[str, ...]] = ("first",)
    after: ClassVar[tuple[str, ...]] = ("last",)

    def answer(self, phase: str, state: Any, ctx: Ctx) -> tuple[Update, Any]:
        return Update(values={"here": np.ones(1)}), state

    def encode(self, update: Update, state: Any, ctx: Ctx) -> tuple[Update, Any]:
        return update, state

    def decode(self, update: Update, state: Any, ctx: Ctx) -> tuple[Update, Any]:
        return update, state

    def obstacle(self, ctx: Ctx) -> TalkootError | None:
        here = len(ctx.posted("last"))
        return QuorumError(f"{here} of {self.least} are here") if here < self.least else None


def walked(engine: Engine, least: int = 0, **sync: Any) -> Run:
    schema, bound = agree(tk.shards(DATA), tk.Inline())
    return run(Plan(Walk(), chain=[_Noted(least)], sync=rounds(**sync)), bound, engine, schema=schema)


@pytest.mark.parametrize("phase", ["first", "update"])
def test_a_round_that_cannot_count_ends_before_the_next_phase(phase: str) -> None:
    engine = Scripted([["a", "c"]], phase=phase)
    done = walked(engine, limit=2, quorum=2)
    assert [o.committed for o in done.history] == [False, True]
    assert engine.held[-3:] == [(1, "first"), (1, "update"), (1, "last")]
    assert (0, "last") not in engine.held
    assert ((0, "update") in engine.held) == (phase == "update")


def test_an_update_that_arrived_counts_also_where_its_node_is_lost_later() -> None:
    done = walked(Scripted([["a", "c"]], phase="last"), limit=1, quorum=2)
    assert done.history[0].arrived == ("a", "a/b", "c")
    assert done.history[0].failed == {}


def test_a_sum_that_cannot_be_decoded_is_dropped_with_the_reason() -> None:
    done = walked(Scripted([["a", "c"]], phase="last"), least=2, limit=2, quorum=1)
    assert [o.committed for o in done.history] == [False, True]
    assert done.history[0].arrived == ()
    assert "1 of 2 are here" in done.history[0].failed["a/b"]
    assert "as scripted" in done.history[0].failed["a"]
    with pytest.raises(QuorumError, match="node 'a'.*3 of 4 are here"):
        walked(Scripted([]), least=4, limit=1)


def test_a_digest_of_the_question_is_there_only_where_a_transform_talks() -> None:
    schema, bound = agree(tk.shards(DATA), tk.Inline())
    plain, talking = (
        run(Plan(Walk(), chain=chain, sync=rounds(3)), bound, tk.Inline(), schema=schema)
        for chain in ([], [_Noted()])
    )
    assert {o.round.about for o in plain.history} == {""}
    assert len({o.round.about for o in talking.history}) == 3

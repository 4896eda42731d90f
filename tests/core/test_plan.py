from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import pytest

from talkoot import Add, Median, Nesterov, Plan, Sum, TrimmedMean, rounds, weigh
from talkoot.core.context import Ctx
from talkoot.core.errors import PlanError
from talkoot.core.transform import Stage, Transform
from talkoot.core.update import Update
from talkoot.testing.toys import Count, Walk


@final
@dataclass(frozen=True)
class Sign(Transform):
    """Signs only: their sum is not what decode wants."""

    additive: ClassVar[bool] = False
    bias: ClassVar[Literal["exact", "unbiased", "biased"]] = "biased"
    stage: ClassVar[Stage] = Stage.CODEC

    def encode(self, update: Update, state: None, ctx: Ctx) -> tuple[Update, None]:
        return update, None

    def decode(self, update: Update, state: None, ctx: Ctx) -> tuple[Update, None]:
        return update, None


@final
@dataclass(frozen=True)
class Shift(Transform):
    """Additive but biased."""

    bias: ClassVar[Literal["exact", "unbiased", "biased"]] = "biased"
    stage: ClassVar[Stage] = Stage.CLIP

    def encode(self, update: Update, state: None, ctx: Ctx) -> tuple[Update, None]:
        return update, None

    def decode(self, update: Update, state: None, ctx: Ctx) -> tuple[Update, None]:
        return update, None


@final
@dataclass(frozen=True)
class Mask(Transform):
    """Only the sum makes sense."""

    sum_only: ClassVar[bool] = True
    stage: ClassVar[Stage] = Stage.MASK

    def encode(self, update: Update, state: None, ctx: Ctx) -> tuple[Update, None]:
        return update, None

    def decode(self, update: Update, state: None, ctx: Ctx) -> tuple[Update, None]:
        return update, None


def test_median_cannot_stand_behind_a_mask() -> None:
    with pytest.raises(PlanError, match=r"Median\(\) reads each update by itself; of Mask\(\) only the sum"):
        Plan(Walk(), chain=[Mask()], merge=Median(), sync=rounds(3))


@pytest.mark.parametrize("link", [Sign(), weigh()], ids=str)
def test_median_reads_what_is_decoded(link: Transform) -> None:
    assert Plan(Walk(), chain=[link], merge=Median(), sync=rounds(3)).chain.links == (link,)


def test_a_sum_refuses_what_does_not_add() -> None:
    with pytest.raises(PlanError, match="Sign.* does not add"):
        Plan(Walk(), chain=[Sign()], sync=rounds(3))


def test_chains_climb() -> None:
    with pytest.raises(PlanError, match=r"Shift\(\) cannot stand behind Weigh.*clip -> weigh -> noise"):
        Plan(Walk(), chain=[weigh(), Shift()])
    with pytest.raises(PlanError, match="cannot stand behind"):
        Plan(Walk(), chain=[weigh(), weigh()])


@pytest.mark.parametrize("merge", [Median(), TrimmedMean(0.2)])
def test_exact_learners_want_their_own_merge(merge: Median | TrimmedMean) -> None:
    with pytest.raises(PlanError, match="Count is exact: its sums mean something only with Sum"):
        Plan(Count(), merge=merge)


def test_exact_learners_want_their_own_outer_step_and_no_bias() -> None:
    with pytest.raises(PlanError, match=r"only with Solve\(Count.step\), not Nesterov"):
        Plan(Count(), outer=Nesterov())
    with pytest.raises(PlanError, match=r"Shift\(\) would bias its sums"):
        Plan(Count(), chain=[Shift()])


def test_trimming_everything_is_refused() -> None:
    with pytest.raises(PlanError, match="would cut every node"):
        TrimmedMean(0.5)


def test_unknown_weights_are_refused() -> None:
    with pytest.raises(PlanError, match="weigh.*bytes.*unknown"):
        weigh("bytes")  # type: ignore[arg-type]


def test_a_plan_fills_in_what_the_learner_wants() -> None:
    plan = Plan(Walk(), sync=rounds(3))
    assert (plan.merge, plan.outer) == (Sum(), Add())
    assert "chain    none" in str(plan)


def test_a_run_that_would_never_end_is_refused() -> None:
    with pytest.raises(PlanError, match=r"Add\(lr=1.0\) never ends by itself.*sync=rounds"):
        Plan(Walk(), chain=[weigh()])

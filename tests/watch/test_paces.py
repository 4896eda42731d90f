"""Trainings that are told step by step: a bounded memory of them, their pace, and changes of their ranks."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkoot.watch.rank_changes import rank_changes
from talkoot.watch.state import replay
from talkoot.watch.steps import MAX_REPORTS, Steps


def told(step: int, seconds: float = 0.25, total: int = 10**9, **metrics: float | None) -> dict[str, Any]:
    return {"step": step, "steps": total, "seconds": seconds, "metrics": metrics, "ranks": 2}


@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.floats(0.01, 10), st.floats(0, 5)),
        min_size=1,
        max_size=3 * MAX_REPORTS,
    )
)
def test_memory_is_bounded_and_no_time_is_lost(reports: list[tuple[int, float, float]]) -> None:
    steps, step, at = Steps(), 0, 0.0
    for more, seconds, loss in reports:
        step, at = step + more, at + seconds
        steps = steps.add(told(step, seconds, loss=loss), at)
        assert len(steps.reports) <= MAX_REPORTS
    assert steps.done == step
    assert steps.reports[-1].at == at
    assert sum(r.seconds for r in steps.reports) == pytest.approx(at)
    assert sum(r.parts for r in steps.reports) == len(reports)
    assert len({r.parts for r in steps.reports[:-1]}) <= 1  # as fine at the start as at the end
    mean = sum(seconds * loss for _, seconds, loss in reports) / at
    assert sum(r.seconds * r.metrics["loss"] for r in steps.reports) / at == pytest.approx(mean)
    assert all(a.step < b.step for a, b in pairwise(steps.reports))


def test_what_is_left_follows_the_pace_of_the_last_seconds() -> None:
    steps = Steps().add(told(1, 5.0, 1000), at=5.0)
    assert steps.left is None
    for i in range(50):
        steps = steps.add(told(2 + i, 1.0, 1000, samples_per_s=10.0), at=6.0 + i)
    for i in range(20):
        steps = steps.add(told(61 + 10 * i, 1.0, 1000, samples_per_s=100.0), at=56.0 + i)
    assert steps.left == pytest.approx((1000 - 251) / 10)
    assert steps.rate == pytest.approx(100.0)
    assert steps.mean_rate == pytest.approx((50 * 10 + 20 * 100) / 70)


def test_steps_that_are_taken_again_replace_what_was_told_of_them() -> None:
    steps = Steps()
    for step, loss in ((10, 3.0), (20, 2.0), (30, 1.0), (15, 2.5), (25, 1.5)):
        steps = steps.add(told(step, loss=loss), at=float(step))
    assert steps.series("loss") == {10: 3.0, 15: 2.5, 25: 1.5}


def test_numbers_that_are_not_finite_are_kept_out_of_curves() -> None:
    steps = Steps().add(told(1, loss=math.nan), at=0.0).add(told(2, loss=None), at=1.0)
    steps = steps.add(told(3, loss=1.0), at=2.0)
    assert steps.series("loss") == {3: 1.0}
    assert (steps.series("accuracy"), steps.rate, steps.mean_rate) == ({}, None, None)


def happened(*events: tuple[str, dict[str, Any]]) -> list[str]:
    state = replay({"t": float(i), "event": name, **facts} for i, (name, facts) in enumerate(events))
    return [("! " if m.bad else "") + m.text for m in rank_changes(state)]


START: tuple[str, dict[str, Any]] = ("start", {"nodes": ["a"], "samples": True})
LOST: tuple[str, dict[str, Any]] = (
    "worker",
    {"worker": 1, "nodes": [], "name": "process 7", "cause": "was killed"},
)
CUT: tuple[str, dict[str, Any]] = ("broken", {"worker": 0, "cause": "closed by peer"})


def group(ranks: int) -> tuple[str, dict[str, Any]]:
    return "epoch", {"epoch": 0, "ranks": ranks}


def step(at: int) -> tuple[str, dict[str, Any]]:
    return "step", told(at, loss=1.0)


def test_the_first_group_is_no_mishap() -> None:
    assert happened(START, group(2), step(5)) == []


@pytest.mark.parametrize("noise", [(), (CUT,)])
def test_a_rank_that_dies_is_named_with_its_cause_whoever_notices_first(noise: tuple[Any, ...]) -> None:
    text = "! after step 1,200: rank 1 (process 7) was killed; on with 2 ranks"
    assert happened(START, group(2), step(1200), *noise, LOST, group(2), step(1300)) == [text]


def test_several_ranks_that_die_at_once_are_one_mishap() -> None:
    said = happened(START, group(3), step(4), LOST, LOST, group(1), step(5), group(3))
    assert said == [
        "! after step 4: rank 1 (process 7) was killed; rank 1 (process 7) was killed; on with 1 rank",
        "after step 5: on with 3 ranks",
    ]


def test_ranks_that_only_lost_each_other_say_why() -> None:
    said = happened(START, group(2), step(4), CUT, group(2), step(5), group(3))
    assert said == [
        "! after step 4: the ranks lost each other (closed by peer); on with 2 ranks",
        "after step 5: on with 3 ranks",
    ]


def test_a_loss_is_told_before_the_others_have_met_again() -> None:
    assert happened(START, group(2), LOST) == ["! before the first round: rank 1 (process 7) was killed"]


def test_a_new_run_forgets_the_steps_and_the_advice_of_the_last() -> None:
    advice = ("advice", {"text": "do", "alone": 2.0, "together": 1.0})
    events = [START, group(2), step(5), advice, LOST, START]
    state = replay({"t": float(i), "event": name, **facts} for i, (name, facts) in enumerate(events))
    assert (state.steps, state.groups, state.lost, dict(state.get("advice"))) == (Steps(), (), (), {})
    assert state.counted == (0, "round")

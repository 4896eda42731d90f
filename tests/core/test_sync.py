from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkoot import every, rounds
from talkoot.core.errors import PlanError
from talkoot.core.round import Meeting, Outcome, Round

NAMES = tuple(f"site{i}" for i in range(10))


def past(*committed: bool) -> Outcome | None:
    last: Outcome | None = None
    for done in committed:
        rnd = rounds().next(last)
        assert rnd is not None
        last = Outcome(round=rnd, arrived=(), failed={}, committed=done, metrics={}, seconds=0.0)
    return last


def test_rounds_end_and_number_themselves() -> None:
    sync = rounds(2)
    first, second = sync.next(None), sync.next(past(True))
    assert first is not None
    assert second is not None
    assert (first.index, second.index) == (0, 1)
    assert sync.next(past(True, True)) is None


def test_without_a_limit_only_the_learner_ends_the_run() -> None:
    assert rounds().next(past(*[True] * 500)) is not None


def test_rounds_that_did_not_count_are_named_to_the_nodes() -> None:
    after = rounds().next(past(True, False, True, False))
    assert after is not None
    assert after.dropped == (1, 3)


@given(st.floats(0.05, 1.0), st.integers(0, 1000), st.integers(0, 50))
def test_cohorts_are_a_function_of_seed_and_round(sample: float, seed: int, index: int) -> None:
    chosen = Round(index=index, meeting=Meeting(sample=sample)).choose(NAMES, seed)
    assert chosen == Round(index=index, meeting=Meeting(sample=sample)).choose(NAMES, seed)
    assert len(chosen) == max(1, round(sample * len(NAMES)))
    assert list(chosen) == sorted(set(chosen), key=NAMES.index)


def test_every_node_is_asked_sooner_or_later() -> None:
    asked = {node for i in range(60) for node in Round(index=i, meeting=Meeting(sample=0.2)).choose(NAMES, 0)}
    assert asked == set(NAMES)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90.0), ("10m", 600.0), ("1.5h", 5400.0), (7, 7)])
def test_deadlines_may_be_text(text: str | float, seconds: float) -> None:
    assert rounds(deadline=text).deadline == seconds


def test_nonsense_is_refused_with_a_cure() -> None:
    with pytest.raises(PlanError, match="'soon' is not a time.*10m"):
        rounds(deadline="soon")
    with pytest.raises(PlanError, match="asks no nodes"):
        rounds(sample=0.0)
    with pytest.raises(PlanError, match="quorum=0 must be positive"):
        rounds(quorum=0)
    with pytest.raises(PlanError, match="one of steps=, seconds= and rows="):
        every()
    with pytest.raises(PlanError, match="one of steps=, seconds= and rows="):
        every(steps=3, seconds=1.0)


def test_every_single_step_warns_that_differences_are_not_gradients() -> None:
    with pytest.warns(UserWarning, match="not averaging gradients"):
        every(steps=1)


def test_what_is_on_its_way_arrives_before_the_next_part_goes() -> None:
    assert every(steps=20, fragments=4, delay=4).delay == 4
    with pytest.raises(PlanError, match="delay=5 does not fit between meetings 5 steps apart"):
        every(steps=20, fragments=4, delay=5)
    with pytest.raises(PlanError, match="take turns"):
        every(steps=3, fragments=4)

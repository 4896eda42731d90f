"""Detectors: the alarms of River at the same rows, however values are cut, and what an alarm says."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import drift as river_drift
from river.drift import binary as river_binary

import talkoot as tk
from examples import examples
from talkoot.learners.online.state import equal
from talkoot.stream.drift.detector import Detector

drift: Any = river_drift
binary: Any = river_binary
PAIRS: list[tuple[Detector, Any]] = [
    (tk.ADWIN(), drift.ADWIN()),
    (tk.ADWIN(delta=0.1, clock=8, buckets=3), drift.ADWIN(delta=0.1, clock=8, max_buckets=3)),
    (tk.HDDM_A(), binary.HDDMA()),
    (tk.HDDM_A(confidence=0.01, two_sided=True), binary.HDDMA(drift_confidence=0.01, two_sided_test=True)),
    (tk.HDDM_W(), binary.HDDMW()),
    (tk.HDDM_W(share=0.02, two_sided=True), binary.HDDMW(lambda_val=0.02, two_sided_test=True)),
    (tk.PageHinkley(), drift.PageHinkley()),
    (tk.PageHinkley(threshold=20, side="down"), drift.PageHinkley(threshold=20, mode="down")),
    (tk.PageHinkley(threshold=20, side="up"), drift.PageHinkley(threshold=20, mode="up")),
]
ALL: list[Detector] = [ours for ours, _ in PAIRS]


def errors(*parts: tuple[int, float], seed: int = 0) -> np.ndarray:
    """Zeros and ones: so many rows at each rate."""
    rng = np.random.default_rng(seed)
    return np.concatenate([(rng.random(rows) < rate) * 1.0 for rows, rate in parts])


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda x: repr(x) if isinstance(x, Detector) else "")
def test_alarms_are_rivers_at_the_same_rows(ours: Detector, theirs: Any) -> None:
    values = errors((9000, 0.25), (5000, 0.4), (6000, 0.1), (4000, 0.25))
    expected = []
    for at, value in enumerate(values.tolist()):
        theirs.update(value)
        if theirs.drift_detected:
            expected.append(at)
    assert expected
    assert ours.update(ours.start(), values).tolist() == expected


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_adwin_of_numbers_of_any_size_is_rivers(side: float) -> None:
    rng = np.random.default_rng(3)
    values = side * np.concatenate([rng.normal(size=3000), rng.normal(0.5, 2, 3000), rng.normal(40, 1, 3000)])
    theirs = drift.ADWIN()
    expected = [at for at, v in enumerate(values.tolist()) if (theirs.update(v), theirs.drift_detected)[1]]
    assert tk.ADWIN().update(tk.ADWIN().start(), values).tolist() == expected


@given(which=st.sampled_from(ALL), cuts=st.lists(st.integers(0, 3000), max_size=8), seed=st.integers(0, 9))
@examples(120)
def test_cuts_do_not_matter(which: Detector, cuts: list[int], seed: int) -> None:
    values = errors((1000, 0.2), (1000, 0.6), (1000, 0.1), seed=seed)
    whole, parts, found = which.start(), which.start(), []
    expected = which.update(whole, values).tolist()
    edges = [0, *sorted(cuts), len(values)]
    for low, high in pairwise(edges):
        found += (which.update(parts, values[low:high]) + low).tolist()
    assert found == expected
    assert equal(whole, parts)


@pytest.mark.parametrize("which", [tk.ADWIN(), tk.HDDM_A(), tk.PageHinkley()], ids=repr)
def test_an_alarm_says_since_when_and_how_sure(which: Detector) -> None:
    alarms = which.alarms(which.start(), errors((2000, 0.02), (2000, 0.9)))
    assert len(alarms.at) == 1
    assert alarms.at[0] - alarms.after[0] + 1 == pytest.approx(2000, abs=60)
    assert alarms.mean_before[0] < 0.1
    assert alarms.mean_after[0] > 0.4
    assert alarms.p_value(0) < 1e-6


@pytest.mark.parametrize("which", ALL, ids=repr)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_and_changes_nothing(which: Detector, wrong: float) -> None:
    state = which.start()
    which.update(state, errors((100, 0.3)))
    before = {name: array.copy() for name, array in state.items()}
    with pytest.raises(tk.DataError, match="at index 1 of 3"):
        which.update(state, np.array([0.0, wrong, 1.0]))
    assert equal(state, before)


def test_estimates_follow_the_mean() -> None:
    for which in ALL:
        state = which.start()
        assert np.isnan(which.estimate(state))
        assert which.update(state, np.zeros(0)).tolist() == []
        which.update(state, np.array([0.5, 0.5]))
        assert which.estimate(state) == 0.5


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in (lambda: tk.ADWIN(clock=0), lambda: tk.HDDM_A(confidence=-1)):
        with pytest.raises(tk.PlanError, match="above 0"):
            wrong()
    with pytest.raises(tk.PlanError, match="'up', 'down' or 'both'"):
        tk.PageHinkley(side="left")  # type: ignore[arg-type]

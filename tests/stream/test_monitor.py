"""A watch finds what changed, where and since when, and raises no alarm at what is as ever."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

import talkoot as tk
from examples import examples
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.state import State, equal
from talkoot.stream.drift.estimate import Estimate
from talkoot.stream.drift.features import FeatureDrift
from talkoot.stream.drift.finding import Finding

TWO = Layout(("calm", "slow"), ("city",), 2)
NONE = Layout((), (), 2)


def loss_findings(rate: np.ndarray, seed: int) -> list[Finding]:
    """Of the default watch, on errors that come at these rates."""
    wrong = np.random.default_rng(seed).random(len(rate)) < rate
    monitor = tk.drift(features=False, estimate=False)
    state = monitor.start(NONE, 0)
    return monitor.observe(
        state, None, wrong * 1.0, np.zeros(len(rate)), np.arange(len(rate)), layout=NONE, node="oslo"
    )


def test_the_default_raises_at_most_one_false_alarm_in_four_million_stable_rows() -> None:
    assert sum(len(loss_findings(np.full(400_000, 0.25), seed)) for seed in range(10)) <= 1


@pytest.mark.parametrize(("width", "limit"), [(1, 1000), (10_000, 20_000), (20_000, 20_000)])
def test_the_default_finds_abrupt_and_gradual_drift(width: int, limit: int) -> None:
    rate = 0.25 + 0.1 * np.clip((np.arange(220_000) - 150_000) / width, 0, 1)
    for seed in range(10):
        found = loss_findings(rate, seed)
        first = next(finding for finding in found if finding.at >= 150_000)
        assert first.at - 150_000 < limit
        if width == 1:
            assert first.p_value < 0.05
            assert abs(first.since - 150_000) < 600
            assert "oslo: the loss rose from 0.2" in str(first)


def rows_of(n: int, seed: int, shift: float = 0.0, cities: int = 20) -> Features:
    """A normal number, one that changes slowly (correlation .99 between neighbours), and a category."""
    rng = np.random.default_rng(seed)
    numbers = np.column_stack([rng.normal(shift, 1, n), lfilter([1], [1, -0.99], rng.normal(size=n))])
    codes = np.random.default_rng(99).integers(1, 1 << 63, 40).astype(np.uint64)
    return Features(numbers, codes[rng.integers(0, cities, n)][:, None])


def test_features_that_drift_are_named_and_rows_that_resemble_their_neighbours_are_not() -> None:
    for seed in range(3):
        features, state = FeatureDrift(), FeatureDrift().start(TWO, seed)
        assert features.observe(state, rows_of(60_000, seed), np.arange(60_000), TWO, "oslo") == []
        found = features.observe(
            state, rows_of(20_000, seed + 50, 0.6), np.arange(60_000, 80_000), TWO, "oslo"
        )
        assert [finding.what for finding in found] == ["calm"]
        assert abs(found[0].since - 60_000) <= 1000
        assert found[0].after > 0.1
    again = features.observe(
        state, rows_of(40_000, 77, 0.6, cities=3), np.arange(80_000, 120_000), TWO, "oslo"
    )
    assert {finding.what for finding in again} == {"city"}


def test_too_few_blocks_are_refused() -> None:
    with pytest.raises(tk.PlanError, match="Take 8 blocks or more"):
        FeatureDrift(blocks=5)


def test_what_is_missing_is_a_change_and_columns_without_any_number_are_none() -> None:
    features, state = FeatureDrift(block=200), FeatureDrift(block=200).start(TWO, 0)
    rows = rows_of(8000, 0)
    rows.numbers[:, 1] = np.nan
    rows.numbers[5000:, 0] = np.nan
    found = features.observe(state, rows, np.arange(8000), TWO, "")
    assert [finding.what for finding in found] == ["calm"]
    assert "all nodes: " in str(found[0])


@given(cuts=st.lists(st.integers(0, 5000), max_size=6))
@examples(40)
def test_cuts_do_not_matter(cuts: list[int]) -> None:
    monitor = tk.drift(features=FeatureDrift(block=100, blocks=8), estimate=Estimate(block=100, blocks=3))
    rows = rows_of(5000, 0)
    rows.numbers[3000:, 0] += 2
    rng = np.random.default_rng(0)
    p, y = rng.random(5000), (rng.random(5000) < 0.5) * 1.0
    y[::7] = np.nan
    whole, parts = monitor.start(TWO, 1), monitor.start(TWO, 1)
    expected = monitor.observe(whole, rows, p, y, np.arange(5000), layout=TWO)
    found = []
    for low, high in zip([0, *sorted(cuts)], [*sorted(cuts), 5000], strict=True):
        some = slice(low, high)
        found += monitor.observe(parts, rows[some], p[some], y[some], np.arange(low, high), layout=TWO)
    assert sorted(map(str, found)) == sorted(map(str, expected))
    assert found
    assert equal(whole, parts)


def shifted(seed: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Predictions that are too sure, and labels; the features move along the rule by `shift`."""
    rng = np.random.default_rng(seed)
    odds = 1.5 * (rng.normal(size=30_000) + shift)
    return 1 / (1 + np.exp(-1.8 * odds)), (rng.random(30_000) < 1 / (1 + np.exp(-odds))) * 1.0


def estimated(nodes: int, seed: int, shift: float) -> tuple[float, float]:
    """The accuracy estimated without labels after a shift, added up over nodes, and the true one."""
    estimate, truth = Estimate(), []
    total: State = {}
    for node in range(nodes):
        state = estimate.start(2)
        p, y = shifted(seed + 10 * node, 0.0)
        estimate.arrive(state, p, np.arange(len(p)), "")
        estimate.learn(state, p, y)
        p, y = shifted(seed + 10 * node + 1, shift)
        estimate.arrive(state, p, np.arange(len(p)), "")
        sums: State = estimate.sums(state)
        total = {name: total.get(name, 0) + array for name, array in sums.items()}
        truth.append(((p > 0.5) == y)[-10_000:].mean())
    return estimate.accuracy(total), float(np.mean(truth))


@pytest.mark.parametrize("shift", [-2.0, -0.5, 0.0, 1.0])
@pytest.mark.parametrize("nodes", [1, 3])
def test_accuracy_without_labels_is_within_two_points_under_covariate_shift(shift: float, nodes: int) -> None:
    for seed in range(3):
        guess, truth = estimated(nodes, seed, shift)
        assert guess == pytest.approx(truth, abs=0.02)


def test_a_fall_of_the_estimated_accuracy_is_found_before_labels_come() -> None:
    monitor = tk.drift(features=False)
    state = monitor.start(NONE, 0)
    p, y = shifted(0, 2.0)
    rows = Features(np.zeros((30_000, 0)), np.zeros((30_000, 0), np.uint64))
    assert monitor.observe(state, rows, p, y, np.arange(30_000), layout=NONE) == []
    p, _ = shifted(1, 0.0)
    found = monitor.observe(state, rows, p, None, np.arange(30_000, 60_000), layout=NONE, node="lund")
    assert found[0].kind == "estimate"
    assert "lund: the accuracy, estimated without labels, fell from" in str(found[0])


def test_labels_that_come_later_calibrate_the_estimate() -> None:
    monitor = tk.drift(features=False)
    at_once, later = monitor.start(NONE, 0), monitor.start(NONE, 0)
    p, y = shifted(0, 0.0)
    rows, at = Features(np.zeros((30_000, 0)), np.zeros((30_000, 0), np.uint64)), np.arange(30_000)
    monitor.observe(at_once, rows, p, y, at, layout=NONE)
    monitor.observe(later, rows, p, None, at, layout=NONE)
    assert np.isnan(monitor.accuracy(monitor.totals(later)))
    monitor.observe(later, None, p, y, at, layout=NONE)
    accuracy = monitor.accuracy(monitor.totals(later))
    assert accuracy == monitor.accuracy(monitor.totals(at_once))
    assert accuracy == pytest.approx(((p > 0.5) == y).mean(), abs=0.02)


def test_predictions_that_are_not_finite_are_found_once_and_harm_nothing() -> None:
    monitor = tk.drift()
    state = monitor.start(TWO, 0)
    p = np.full(3000, 0.3)
    p[100:110] = np.nan
    rows = rows_of(3000, 0)
    found = [monitor.observe(state, rows, p, np.zeros(3000), np.arange(3000), layout=TWO) for _ in range(2)]
    assert [str(finding) for finding in found[0]] == [
        "all nodes: the model predicts what is no finite number, since row 100."
    ]
    assert found[1] == []


def test_numbers_are_watched_whatever_their_unit() -> None:
    for unit in (1e-6, 1e6):
        rng = np.random.default_rng(0)
        gap = rng.normal(size=20_000) * unit
        gap[15_000:] *= 3
        monitor = tk.drift(features=False)
        state = monitor.start(Layout(), 0)
        found = monitor.observe(state, None, gap, np.zeros(20_000), np.arange(20_000), layout=Layout())
        assert [finding.kind for finding in found] == ["loss"]
        assert 14_500 < found[0].since < found[0].at < 16_000


def test_a_change_that_no_node_sees_alone_shows_in_the_sums() -> None:
    monitor = tk.drift(features=False)
    rng = np.random.default_rng(1)
    nodes = [monitor.start(NONE, 0) for _ in range(10)]
    everywhere: State = {}
    alone, found = [], []
    for turn in range(300):
        rate, total = (0.25 if turn < 200 else 0.33), np.zeros(2)
        for node in nodes:
            wrong = (rng.random(30) < rate) * 1.0
            at = np.arange(turn * 30, turn * 30 + 30)
            alone += [(turn, x) for x in monitor.observe(node, None, wrong, np.zeros(30), at, layout=NONE)]
            total += monitor.totals(node)["loss"]
        found += [(turn, x) for x in monitor.judge(everywhere, {"loss": total}, turn * 300 + 299)]
    first = found[0][0]
    assert 200 <= first < 230
    assert all(turn > first for turn, _ in alone)
    assert str(found[0][1]).startswith("all nodes: the loss rose")

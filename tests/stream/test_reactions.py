"""Reactions regain what a change cost, and each does what it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from watching import LAYOUT, Logistic, begin, log_losses, stream, watched

import talkoot as tk
from examples import examples
from talkoot.learners.online.state import equal, under
from talkoot.stream.drift.finding import Finding
from talkoot.stream.drift.reactions import Boost, Challenger, RollBack, Step, bet

OLD, NEW = (2.0, -1.0, 0.5), (-1.0, 2.0, 0.5)


def rows_to_regain(p: np.ndarray, y: np.ndarray, change: int, level: float) -> int:
    """Rows after the change until a thousand rows in a row cost no more than `level` on average."""
    costs = np.convolve(log_losses(p, y)[change:], np.full(1000, 1e-3), "valid")
    return int(np.argmax(costs <= level)) if (costs <= level).any() else len(costs)


def test_boost_regains_the_log_loss_in_under_half_of_the_rows() -> None:
    rows, y = stream((30_000, OLD), (30_000, NEW))
    slow, _, nothing, _ = watched("alert", rows, y)
    fast, found, done, _ = watched("boost", rows, y)
    level = log_losses(slow, y)[20_000:30_000].mean() * 1.05
    assert nothing == []
    assert done == ["the model learns 10 times faster for a while"]
    assert [finding.kind for finding in found if isinstance(finding, Finding)][:1] == ["loss"]
    assert rows_to_regain(fast, y, 30_000, level) < rows_to_regain(slow, y, 30_000, level) / 2


def test_a_model_that_cannot_boost_weighs_rows_more() -> None:
    monitor = tk.drift(Boost(factor=4, rows=1500))
    rows, y = stream((10, OLD))
    node = begin(monitor, Logistic())
    step = Step(object(), LAYOUT, 0, rows, y, y)  # type: ignore[arg-type]
    rise = Finding("loss", "loss", "", 0, 9, 0.2, 0.4, 1e-9)
    assert monitor.react(node, [rise], step, 9)
    assert monitor.reaction.weights(node, 2) is not None
    weights = monitor.reaction.weights(node, 2000)
    assert weights is not None
    assert weights.sum() == 4 * 1500 + 500
    for _ in range(150):
        monitor.react(node, [], step, 9)
    assert monitor.reaction.weights(node, 10) is None


def test_reset_begins_anew_and_challenger_is_promoted_when_it_is_better() -> None:
    rows, y = stream((20_000, OLD), (20_000, NEW))
    slow, *_ = watched("alert", rows, y)
    reset, _, done, _ = watched("reset", rows, y)
    assert done == ["the model began anew"]
    promoted, _, words, _ = watched("challenger", rows, y)
    assert words[0] == "a second model began to learn beside the first"
    assert words[1].startswith("the second model was promoted after")
    for fast in (reset, promoted):
        assert log_losses(fast, y)[20_000:].mean() < log_losses(slow, y)[20_000:].mean()


def test_a_challenger_that_is_no_better_is_given_up() -> None:
    monitor = tk.drift(Challenger(rows=3000))
    rows, y = stream((6000, OLD))
    node = begin(monitor, Logistic())
    monitor.learn(Logistic(), node, rows, y, np.arange(6000), layout=LAYOUT)
    rise = Finding("loss", "loss", "", 0, 9, 0.2, 0.4, 1e-9)
    monitor.react(node, [rise], Step(Logistic(), LAYOUT, 0, rows[:0], y[:0], y[:0]), 9)
    assert any(name.startswith("drift/reaction/challenger/") for name in node)
    *_, done = monitor.learn(Logistic(), node, rows, y, np.arange(6000), layout=LAYOUT)
    assert done == ["the second model was given up after 3,000 rows: it was not better"]
    assert not any(name.startswith("drift/reaction/challenger/") for name in node)


def test_a_bet_on_nothing_is_rarely_won_and_a_good_one_soon() -> None:
    rng = np.random.default_rng(0)
    won = sum(bet(np.zeros(5), rng.choice([-0.5, 0.5], 5000)) >= np.log(20) for _ in range(400))
    assert won <= 0.05 * 400
    assert bet(np.zeros(5), rng.choice([-0.5, 0.6], 5000)) > np.log(100)


def test_roll_back_undoes_labels_that_were_wrong_for_a_while() -> None:
    rows, y = stream((22_400, OLD))
    y[22_000:] = 1 - y[22_000:]
    _, _, done, node = watched(RollBack(every=5000), rows, y)
    assert done == ["model and detectors are as they were before the change"]
    good = Logistic().start(LAYOUT, 0)
    Logistic().learn(good, rows[:20_000], y[:20_000])
    held = under(node, "drift/reaction/newer/")
    assert np.array_equal(held["model/weights"], good["weights"])
    assert node["model/weights"][0] > 1.0


@pytest.mark.parametrize("reaction", ["alert", "boost", "reset", "challenger", "roll back"])
@given(cuts=st.lists(st.integers(0, 6000), max_size=5))
@examples(8)
def test_cuts_do_not_matter(reaction: str, cuts: list[int]) -> None:
    rows, y = stream((3000, OLD), (3000, (-2.0, 1.0, -0.5)))
    whole, _, expected, one = watched(reaction, rows, y)
    monitor = tk.drift(reaction)  # type: ignore[arg-type]
    node, parts, done = begin(monitor, Logistic()), [], []
    for low, high in zip([0, *sorted(cuts)], [*sorted(cuts), 6000], strict=True):
        p, _, words = monitor.learn(
            Logistic(), node, rows[low:high], y[low:high], np.arange(low, high), layout=LAYOUT
        )
        parts.append(p)
        done += words
    assert np.array_equal(np.concatenate(parts), whole)
    assert done == expected
    assert equal(node, one)


def test_a_reaction_that_is_none_is_refused() -> None:
    with pytest.raises(tk.PlanError, match="no reaction 'panic'"):
        tk.drift("panic")  # type: ignore[arg-type]

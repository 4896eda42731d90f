"""What holds for every online model."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from online_models import MODELS, mixed

from talkoot.core.errors import DataError, PlanError
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.model import OnlineModel
from talkoot.learners.online.state import copied, equal

LAYOUT, ALL, Y, W = mixed(400, seed=7)
NUMBERS = replace(ALL, categories=ALL.categories[:, :0].copy())
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{type(m).__name__}-{MODELS.index(m)}")


def rows_of(model: OnlineModel) -> tuple[Layout, Features]:
    """Rows that the model can read."""
    if model.task == "clusters":
        return replace(LAYOUT, categories=()), NUMBERS
    return LAYOUT, ALL


@every_model
@given(cuts=st.lists(st.integers(0, 400), max_size=8), seed=st.integers(0, 3))
def test_the_cut_into_batches_does_not_matter(model: OnlineModel, cuts: list[int], seed: int) -> None:
    layout, rows = rows_of(model)
    whole, cut = model.start(layout, seed), model.start(layout, seed)
    expected = model.learn(whole, rows, Y, W)
    ends = [0, *sorted(cuts), 400]
    parts = [slice(a, b) for a, b in itertools.pairwise(ends)]
    got = np.concatenate([model.learn(cut, rows[part], Y[part], W[part]) for part in parts])
    assert got.tobytes() == expected.tobytes()
    assert equal(whole, cut)


@every_model
def test_what_was_predicted_before_a_row_is_what_predict_says(model: OnlineModel) -> None:
    layout, rows = rows_of(model)
    state = model.start(layout, 0)
    for i in range(60):
        part = slice(i, i + 1)
        before = copied(state)
        expected = model.predict(state, rows[part])
        assert equal(state, before)
        np.testing.assert_array_equal(model.learn(state, rows[part], Y[part], W[part]), expected)


@every_model
def test_rows_without_label_or_weight_are_not_learned(model: OnlineModel) -> None:
    layout, rows = rows_of(model)
    state = model.start(layout, 0)
    model.learn(state, rows, Y, W)
    before = copied(state)
    if model.task != "clusters":
        model.learn(state, rows, np.full(400, np.nan))
    model.learn(state, rows, Y, np.zeros(400))
    model.learn(state, rows[:0], Y[:0])
    assert equal(state, before)


@every_model
def test_predictions_are_finite_and_probabilities_add_up(model: OnlineModel) -> None:
    layout, rows = rows_of(model)
    state = model.start(layout, 0)
    predicted = model.learn(state, rows, Y, W)
    assert np.isfinite(predicted).all()
    if model.task == "binary":
        assert ((predicted >= 0) & (predicted <= 1)).all()
    if model.task == "classes":
        np.testing.assert_allclose(predicted.sum(axis=1), 1)
    assert len(predicted) == 400


@every_model
def test_what_would_be_learned_wrongly_is_refused(model: OnlineModel) -> None:
    layout, rows = rows_of(model)
    state = model.start(layout, 0)
    wider = replace(rows, numbers=np.zeros((400, 4)))
    with pytest.raises(PlanError, match="rows of 4 numbers|rows of [56] numbers"):
        model.learn(state, wider, Y, W)
    with pytest.raises(DataError, match="a weight of a row is negative"):
        model.learn(state, rows, Y, -W)
    if model.task == "clusters":
        return
    with pytest.raises(PlanError, match="400 rows have 399 labels"):
        model.learn(state, rows, Y[:-1], W)
    with pytest.raises(DataError, match="a label is infinite"):
        model.learn(state, rows, np.full(400, np.inf), W)
    if model.task != "number":
        with pytest.raises(PlanError, match="the label 2 is new, and there are 2 classes"):
            model.learn(state, rows, np.full(400, 2.0), W)
        with pytest.raises(DataError, match="labels of classes are codes"):
            model.learn(state, rows, np.full(400, -1.0), W)

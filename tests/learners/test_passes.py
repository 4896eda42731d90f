"""One pass over the rows: the sums of the formulas, whatever the blocks, dtype, center or storage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, final

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from talkoot.core.shard import Block, Shard
from talkoot.core.update import Update
from talkoot.learners.solvers import passes
from talkoot.learners.solvers.losses import Binomial, Loss, Multinomial, Tweedie
from talkoot.learners.solvers.nonsmooth import Huber, SquaredHinge
from talkoot.learners.solvers.objective import Layout, Penalty
from talkoot.learners.solvers.passes import Frame, Point

LOSSES: list[Loss] = [Binomial(), Multinomial(3), Tweedie(1), SquaredHinge(3), Huber(1.35)]
ROWS, FEATURES = 40, 4


@final
@dataclass(frozen=True, slots=True, eq=False)
class Rows(Shard):
    """Rows cut at `cuts`."""

    block: Block
    cuts: tuple[int, ...] = ()
    name: str = "rows"

    def blocks(self) -> Iterator[Block]:
        for a, b in pairwise([0, *sorted(self.cuts), len(self.block)]):
            yield part(self.block, slice(a, b))


def part(block: Block, rows: slice) -> Block:
    y, w = (None if v is None else v[rows] for v in (block.y, block.w))
    return Block(X=block.X[rows], y=y, w=w)


def block(loss: Loss, seed: int = 0, weighted: bool = True) -> Block:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((ROWS, FEATURES)) + np.array([0, 5, -3, 1])
    y = rng.integers(0, getattr(loss, "classes", 2), ROWS)
    return Block(X=X, y=y, w=rng.uniform(0, 2, ROWS) if weighted else None)


@final
@dataclass(frozen=True, slots=True, eq=False)
class At:
    """A frame, and a point in it."""

    frame: Frame
    point: Point


def changed(at: At, **changes: Any) -> At:
    frame = {name: value for name, value in changes.items() if name in ("center", "stride")}
    point = {name: value for name, value in changes.items() if name not in frame}
    return At(replace(at.frame, **frame), replace(at.point, **point))


def evaluate(rows: Shard, at: At) -> Update:
    return passes.evaluate(rows, at.frame, at.point)


def point(loss: Loss, seed: int = 0, **changes: Any) -> At:
    layout = Layout(outputs=loss.outputs, features=FEATURES, intercept=True, extras=loss.extras)
    rng = np.random.default_rng(seed + 1)
    vector = rng.standard_normal(layout.size) / 5
    center = np.array([0.5, 4, -3, 1])
    at = At(Frame(loss=loss, layout=layout, center=center), Point(vector=vector, dtype=np.dtype(float)))
    return changed(at, **changes)


def same(one: Update, other: Update, rtol: float = 1e-10) -> None:
    assert one.values.keys() == other.values.keys()
    assert one.weight == other.weight
    for name, value in one.values.items():
        np.testing.assert_allclose(
            value, other.values[name], rtol=rtol, atol=rtol * np.abs(value).max(initial=1)
        )


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_gradient_is_the_derivative_of_the_loss(loss: Loss) -> None:
    rows, at = Rows(block(loss)), point(loss)
    told = evaluate(rows, at)
    assert rows.block.w is not None
    assert told.values["weight"].sum() == pytest.approx(rows.block.w.sum())
    for i in range(at.frame.layout.size):
        step = 1e-6 * np.eye(at.frame.layout.size)[i]
        up, down = (
            evaluate(rows, changed(at, vector=at.point.vector + by)).values["loss"][0] for by in (step, -step)
        )
        assert told.values["gradient"][i] == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("loss", [Binomial(), Multinomial(3), Tweedie(1)], ids=repr)
def test_the_hessian_is_the_derivative_of_the_gradient(loss: Loss) -> None:
    rows, at = Rows(block(loss)), point(loss, curve="full")
    hessian = evaluate(rows, at).values["hessian"]
    for i in range(at.frame.layout.size):
        step = 1e-6 * np.eye(at.frame.layout.size)[i]
        up, down = (
            evaluate(rows, changed(at, vector=at.point.vector + by)).values["gradient"]
            for by in (step, -step)
        )
        np.testing.assert_allclose(hessian[i], (up - down) / 2e-6, rtol=1e-4, atol=1e-4)


@settings(deadline=None)
@given(
    st.sampled_from(LOSSES),
    st.lists(st.integers(0, ROWS), max_size=5),
    st.sampled_from(["none", "sample", "full"]),
    st.booleans(),
)
def test_how_rows_are_cut_does_not_matter(loss: Loss, cuts: list[int], curve: Any, weighted: bool) -> None:
    rows = block(loss, weighted=weighted)
    curve = "none" if loss.extras and curve == "full" else curve
    at = point(loss, curve=curve)
    whole = evaluate(Rows(rows), at)
    same(evaluate(Rows(rows, tuple(cuts)), at), whole)
    cut = min(cuts, default=7)
    first, second = (Rows(part(rows, rest)) for rest in (slice(cut), slice(cut, None)))
    same(evaluate(first, at) + evaluate(second, at), whole)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_center_may_come_off_rows_or_products(loss: Loss) -> None:
    rows, at = Rows(block(loss), (11,)), point(loss)
    same(evaluate(rows, at), evaluate(rows, changed(at, subtract=False)))


@pytest.mark.parametrize("curve", ["none", "sample", "full"])
@pytest.mark.parametrize("loss", [Binomial(), Multinomial(3)], ids=repr)
def test_sparse_rows_say_the_same(loss: Loss, curve: Any) -> None:
    rows, at = block(loss), point(loss, center=None, curve=curve)
    thin = Block(X=sp.csr_array(rows.X), y=rows.y, w=rows.w)
    same(evaluate(Rows(thin, (9,)), at), evaluate(Rows(rows), at))


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("loss", [Binomial(), Multinomial(3), Tweedie(1)], ids=repr)
def test_float32_is_near_and_float64_of_float32_rows_is_exact(loss: Loss, subtract: bool) -> None:
    rows = block(loss)
    small = Block(X=rows.X.astype(np.float32), y=rows.y, w=rows.w)
    wide = Block(X=small.X.astype(np.float64), y=rows.y, w=rows.w)
    at = point(loss, subtract=subtract)
    exact = evaluate(Rows(wide), at)
    same(evaluate(Rows(small), at), exact)
    single = evaluate(Rows(small), changed(at, dtype=np.dtype(np.float32)))
    same(single, exact, rtol=1e-5)
    assert all(value.dtype == np.float64 for value in single.values.values())


def test_columns_far_from_zero_keep_their_digits_in_float32() -> None:
    rng = np.random.default_rng(0)
    center = np.full(FEATURES, 1e6)
    X = (center + np.round(rng.standard_normal((ROWS, FEATURES)) * 16) / 16).astype(np.float32)
    near = Block(X=(X - center).astype(np.float32), y=rng.integers(0, 2, ROWS))
    at = point(Binomial(), center=center, dtype=np.dtype(np.float32))
    far = evaluate(Rows(Block(X=X, y=near.y)), at)
    same(far, evaluate(Rows(near), changed(at, center=None)), rtol=1e-6)


def test_class_weights_are_weights() -> None:
    rows = block(Binomial())
    weight = np.array([0.5, 3.0])
    assert rows.w is not None
    assert rows.y is not None
    heavy = Block(X=rows.X, y=rows.y, w=rows.w * weight[rows.y])
    at = point(Binomial(), curve="sample")
    told = evaluate(Rows(rows), changed(at, class_weight=weight))
    same(told, evaluate(Rows(heavy), at))


def test_a_sample_is_every_so_many_rows_and_wide_models_send_a_diagonal(monkeypatch: Any) -> None:
    rows, at = block(Binomial()), point(Binomial(), curve="sample", stride=4)
    told = evaluate(Rows(rows), at).values
    some = Rows(part(rows, slice(None, None, 4)))
    full = evaluate(some, changed(at, curve="full")).values["hessian"]
    np.testing.assert_allclose(told["curve"], full, rtol=1e-10)
    monkeypatch.setattr("talkoot.learners.solvers.passes.DENSE", 2)
    for X in (rows.X, sp.csr_array(rows.X)):
        thin = Rows(Block(X=X, y=rows.y, w=rows.w))
        wide = evaluate(thin, changed(at, stride=1, center=None)).values["curve"]
        whole = evaluate(Rows(rows), changed(at, curve="full", center=None)).values["hessian"]
        np.testing.assert_allclose(wide, np.diag(whole), rtol=1e-10)


def test_no_rows_say_nothing() -> None:
    empty = Block(X=np.empty((0, FEATURES)), y=np.empty(0, int))
    assert evaluate(Rows(empty), point(Binomial())).values == {}


def test_the_penalty_is_differentiated_right() -> None:
    layout = Layout(outputs=2, features=FEATURES, intercept=True, extras=1)
    vector = np.random.default_rng(0).standard_normal(layout.size)
    for anchor in (None, np.array([1.0, -2, 0, 3, 0.5])):
        penalty = Penalty(l2=0.7, anchor=anchor)
        gradient = penalty.gradient(layout, vector)
        curve = penalty.curvature(layout)
        np.testing.assert_allclose(penalty.diagonal(layout), np.diag(curve))
        assert gradient[-1] == 0
        for i in range(layout.size):
            step = 1e-6 * np.eye(layout.size)[i]
            fall = penalty.value(layout, vector + step) - penalty.value(layout, vector - step)
            assert gradient[i] == pytest.approx(fall / 2e-6, abs=1e-6)
        np.testing.assert_allclose(layout.rows(gradient), layout.rows(vector) @ curve, atol=1e-12)


def test_what_a_penalty_leaves_free() -> None:
    layout, anchor = Layout(outputs=1, features=2, intercept=True), np.array([0, 0, 0.5])
    assert Penalty(l2=1.0).free(layout).tolist() == [False, False, True]
    assert Penalty().free(layout).tolist() == [True, True, True]
    assert Penalty(l1=1.0, anchor=anchor).free(layout).tolist() == [False, False, False]
    np.testing.assert_array_equal(Penalty(l1=2.0, anchor=anchor).absolute(layout), [2, 2, 1])
    assert Penalty(l2=2.0).absolute(layout) is None

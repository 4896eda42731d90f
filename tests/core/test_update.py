from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given

from talkoot import Leaf, Update
from talkoot.core.errors import NotInvertible, PlanError
from talkoot.core.update import total
from talkoot.testing.compare import assert_same
from talkoot.testing.strategies import updates


@given(updates(), updates(), updates())
def test_addition_is_associative_and_commutative_with_an_identity(a: Update, b: Update, c: Update) -> None:
    assert_same((a + b) + c, a + (b + c), rtol=0)
    assert_same(a + b, b + a, rtol=0)
    assert_same(a + Update(), a, rtol=0)
    assert_same(Update() + a, a, rtol=0)
    assert (a + b).weight == a.weight + b.weight


@given(updates(sums_only=True, zero=False), updates(sums_only=True))
def test_what_adds_can_be_subtracted(a: Update, b: Update) -> None:
    assert_same((a + b) - b, a, rtol=0)
    assert ((a + b) - b).weight == a.weight


def test_subtracting_a_minimum_is_refused_with_the_leaf_and_a_cure() -> None:
    low = Update(values={"low": np.zeros(1)}, kinds={"low": Leaf.MIN})
    with pytest.raises(NotInvertible, match=r"low merge by min.*Refit without the node"):
        low - low


def test_a_leaf_of_two_kinds_is_refused_by_name() -> None:
    low, total_of = (Update(values={"x": np.zeros(1)}, kinds=kinds) for kinds in ({"x": Leaf.MIN}, {}))
    with pytest.raises(PlanError, match="leaf 'x' merges by min in one update and by sum in another. Give"):
        low + total_of


def test_leaves_of_each_kind_merge_by_hand() -> None:
    a = Update(
        values={
            "s": np.array([1.0]),
            "lo": np.array([5.0]),
            "hi": np.array([5.0]),
            "u": np.array(["b", "c"]),
        },
        kinds={"lo": Leaf.MIN, "hi": Leaf.MAX, "u": Leaf.UNION},
    )
    b = Update(
        values={
            "s": np.array([2.0]),
            "lo": np.array([3.0]),
            "hi": np.array([9.0]),
            "u": np.array(["a", "b"]),
        },
        kinds=a.kinds,
    )
    merged = (a + b).values
    assert [merged[k].tolist() for k in ("s", "lo", "hi", "u")] == [[3.0], [3.0], [9.0], ["a", "b", "c"]]


def test_total_of_nothing_is_the_zero() -> None:
    assert total([]).values == {}


def test_updates_travel() -> None:
    sent = Update(values={"lo": np.array([1.0])}, weight=2.0, kinds={"lo": Leaf.MIN})
    got = pickle.loads(pickle.dumps(sent))
    assert_same(got, sent, rtol=0)
    assert got.kind("lo") is Leaf.MIN

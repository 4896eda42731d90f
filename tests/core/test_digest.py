"""A digest tells values apart by their content, and is the same wherever they have been."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import FunctionTransformer

from talkoot.core.digest import digest
from talkoot.core.errors import PlanError

X = np.arange(12.0).reshape(6, 2)


@dataclass
class Point:
    at: Any
    note: str = ""
    derived: int = field(init=False, default=0)


DIFFERENT: list[Any] = [
    None,
    True,
    1,
    1.0,
    "1",
    b"1",
    [1],
    (1,),
    {1},
    {"1": 1},
    {"1": 2},
    [],
    [[]],
    np.float64(1.0),
    np.ones(1),
    np.ones(1, np.float32),
    np.ones((1, 1)),
    np.array(["1"]),
    np.array(["1"], object),
    np.dtype("f8"),
    float,
    len.__class__,
    Point(1),
    Point(2),
    Point(1, "a"),
    Ridge(),
    Ridge(alpha=2.0),
    Ridge().fit(X, X[:, 0]),
    Ridge().fit(X, X[:, 1]),
    scipy.sparse.csr_matrix(X),
    scipy.sparse.csr_matrix(X + 1),
    slice(1, 2),
    ["ab", "c"],
    ["a", "bc"],
    range(3),
    np.log1p,
    np.exp,
    scipy.special.log1p,
    FunctionTransformer(np.log1p),
    FunctionTransformer(np.exp),
]


def test_what_differs_has_another_digest() -> None:
    assert len({digest(value) for value in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize("value", DIFFERENT, ids=lambda value: type(value).__name__)
def test_a_copy_has_the_same(value: Any) -> None:
    assert digest(copy.deepcopy(value)) == digest(value)


def test_how_it_lies_in_memory_does_not_matter() -> None:
    assert digest(np.asfortranarray(X)) == digest(X) == digest(X.astype(">f8"))
    assert digest(X[::2]) == digest(X[::2].copy())
    assert digest(MappingProxyType({"a": 1})) == digest({"a": 1})
    assert digest({"b", "a"}) == digest({"a", "b"})
    assert digest(np.str_("a")) == digest("a")
    one = Point(1)
    one.derived = 7
    assert digest(one) == digest(Point(1))


def test_what_has_no_content_is_refused_by_name() -> None:
    with pytest.raises(PlanError, match="a _thread.lock has no content that can be compared between nodes"):
        digest({"a": [threading.Lock()]})


def test_tensors_count_by_their_numbers() -> None:
    torch = pytest.importorskip("torch")
    one = torch.arange(6.0).reshape(2, 3)
    assert digest(one) == digest(one.clone()) == digest(one.t().contiguous().t())
    assert digest(one) != digest(one + 1)
    assert digest(one.bfloat16()) == digest(one.bfloat16().clone()) != digest(one)


def test_a_fit_is_a_function_of_the_data_and_so_is_its_digest() -> None:
    fits = [LogisticRegression().fit(X, [0, 1, 0, 1, 1, 0]) for _ in range(2)]
    assert digest(fits[0]) == digest(fits[1])


@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(), st.lists))
def test_equal_values_have_equal_digests(value: Any) -> None:
    assert digest(copy.deepcopy(value)) == digest(value)

"""A plan that was read back is the plan that was written; what strangers write is refused, never run."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import talkoot as tk
from examples import examples
from talkoot.formats.frames import from_bytes, to_bytes
from talkoot.formats.plans import TYPES, plan_from_bytes, plan_from_data, plan_to_bytes, plan_to_data
from talkoot.formats.values import Decoder, Encoder

ESTIMATORS = (
    Ridge(alpha=0.5),
    LogisticRegression(C=2.0, class_weight={0: 1.0, 1: 3.0}),
    GaussianNB(priors=np.array([0.25, 0.75])),
    make_pipeline(StandardScaler(with_std=False), Ridge()),
    make_column_transformer((OneHotEncoder(dtype=np.float32), make_column_selector("a.*")), ("drop", [1, 2])),
    make_pipeline(FunctionTransformer(np.log1p), make_column_transformer((StandardScaler(), slice(0, 2)))),
)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_a_plan_comes_back(estimator: Any) -> None:
    plan = tk.Plan(tk.learner_for(estimator), sync=tk.rounds(50, deadline="10m"), seed=3)
    frame = plan_to_bytes(plan)
    found = plan_from_bytes(frame)
    assert type(found.learner) is type(plan.learner)
    assert (found.sync, found.seed) == (plan.sync, 3)
    assert plan_to_bytes(found) == frame


@pytest.mark.parametrize(
    "part",
    [
        tk.weigh("rows"),
        tk.quantize(bits=4),
        tk.topk(0.1),
        tk.Adam(lr=0.1),
        tk.Median(),
        tk.every(seconds=2.5),
    ],
    ids=lambda part: type(part).__name__,
)
def test_parts_of_plans_come_back(part: Any) -> None:
    assert Decoder(types=TYPES).decode(Encoder(types=TYPES).encode(part)) == part


def test_what_cannot_travel_is_refused_by_name() -> None:
    local = make_pipeline(FunctionTransformer(lambda X: X), Ridge())
    with pytest.raises(tk.PlanError, match="<lambda>.* cannot be imported by a name"):
        plan_to_bytes(tk.Plan(tk.learner_for(local)))
    with pytest.raises(tk.PlanError, match="KMeans is not in Talkoot's catalogue"):
        Encoder(other=__import__("talkoot.formats.estimators", fromlist=["encode"]).encode).encode(KMeans())


def changed(**changes: Any) -> dict[str, Any]:
    return {**plan_to_data(tk.Plan(tk.learner_for(Ridge()))), **changes}


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (None, "version None"),
        ({"version": 9}, "version 9"),
        (changed(seed="x"), "whole number"),
        (changed(learner=3), "needs an estimator"),
        (changed(learner={"$": "estimator", "class": "SVC", "params": {}}), "'SVC' is not in"),
        (changed(learner={"$": "estimator", "class": "Ridge", "params": {"beta": 1}}), "beta"),
        (changed(learner={"$": "estimator", "class": "Ridge", "params": {"alpha": -1.0}}), "alpha"),
        (changed(learner={"$": "function", "name": "os.system"}), "'os.system', which would be imported"),
        (changed(learner={"$": "function", "name": "numpy.load"}), "'numpy.load', which would be imported"),
        (changed(sync={"$": "type", "name": "Popen", "fields": {}}), "'Popen' is no type"),
        (changed(sync={"$": "type", "name": "Rounds", "fields": {"limit": -1}}), "limit=-1"),
        (changed(sync={"$": "type", "name": "Adam", "fields": {}}), "the plan's sync is a Adam"),
        (changed(chain=[1]), "no transform"),
        (changed(merge={"$": "type", "name": "Median", "fields": {}}), "its sums mean something only with"),
    ],
    ids=str,
)
def test_plans_of_strangers_are_refused_with_the_reason(data: Any, cause: str) -> None:
    with pytest.raises(tk.TalkootError, match=cause):
        plan_from_data(data)


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "$",
                    "items",
                    "name",
                    "array",
                    "buffer",
                    "dtype",
                    "shape",
                    "fields",
                    "text",
                    "params",
                    "class",
                ]
            )
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
tags = st.sampled_from(
    [
        "tuple",
        "slice",
        "dict",
        "int",
        "dtype",
        "scalar",
        "array",
        "objects",
        "type",
        "estimator",
        "columns",
        "numpy",
        "python",
        "function",
    ]
)


@examples(600)
@given(
    tag=tags,
    data=st.dictionaries(
        st.sampled_from(
            ["items", "name", "array", "buffer", "dtype", "shape", "fields", "text", "params", "class"]
        ),
        json,
        max_size=5,
    ),
)
def test_whatever_strangers_write_ends_in_an_error_of_ours_or_in_a_value(
    tag: str, data: dict[str, Any]
) -> None:
    with contextlib.suppress(tk.TalkootError):
        plan_from_data(changed(learner={"$": tag, **data}), [memoryview(b"12345678")])


@examples(400)
@given(st.binary(max_size=200))
def test_bytes_of_strangers_are_no_frame(noise: bytes) -> None:
    for frame in (noise, b"talkoot\x01" + noise, to_bytes({})[:8] + len(noise).to_bytes(8, "little") + noise):
        with contextlib.suppress(tk.DataError):
            from_bytes(frame)


def test_a_header_that_says_more_than_there_is_allocates_nothing() -> None:
    header = msgspec.msgpack.encode([{}, [1 << 60]])
    with pytest.raises(tk.DataError, match="shorter than its header says"):
        from_bytes(b"talkoot\x01" + len(header).to_bytes(8, "little") + header)
    with pytest.raises(tk.DataError, match="bytes are no array"):
        Decoder([memoryview(b"")]).decode(
            {"$": "array", "buffer": 0, "dtype": "<f8", "shape": [1 << 40, 1 << 40]}
        )


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(leaves.filter(lambda v: v == v), inner)
    ),
    max_leaves=20,
)


@examples(400)
@given(values)
def test_values_come_back_as_they_were(value: Any) -> None:
    encoder = Encoder()
    data, buffers = from_bytes(to_bytes(encoder.encode(value), encoder.buffers))
    found = Decoder(buffers).decode(data)
    assert found == value
    assert repr(found) == repr(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.empty((0, 4), np.float32),
        np.array(5, np.int8),
        np.array([True, False]),
        np.arange(3, dtype=">i4"),
        np.array(["a", None, 2, 2.5], dtype=object),
        np.array(["ab", "c"]),
        np.array([2**64 - 1], dtype=np.uint64),
        np.array([np.nan, np.inf]),
    ],
    ids=str,
)
def test_arrays_come_back_with_their_dtype_and_shape(array: np.ndarray) -> None:
    encoder = Encoder()
    data, buffers = from_bytes(to_bytes(encoder.encode(array), encoder.buffers))
    found = Decoder(buffers).decode(data)
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from pooling import FITS, assert_alike, assert_as_pooled, dealt, even, learn, pooled, together
from scipy import sparse
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from examples import examples
from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.shard import Shard
from talkoot.data.schema import agree
from talkoot.data.shards import shards
from talkoot.engines.inline import Inline
from talkoot.testing import check_learner
from talkoot.testing.strategies import deals

RNG = np.random.default_rng(0)
X = RNG.integers(0, 5, (60, 3)) * 1.5
X[:, 2] = np.minimum(X[:, 2], 1.5)  # two categories
HOLES = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
TEXT = pd.DataFrame(
    {
        "job": RNG.choice(["cook", "baker", "smith", "weaver"], 60, p=[0.6, 0.3, 0.05, 0.05]),
        "grade": RNG.choice([1.0, 2.0, 5.0, np.nan], 60),
        "town": RNG.choice(np.array(["oulu", "turku", None], dtype=object), 60),
    }
).astype({"job": object, "town": object})
TEXT["town"] = TEXT["town"].where(TEXT["town"].notna(), np.nan)
OBJECTS = TEXT.to_numpy(dtype=object)
OBJECTS[TEXT["town"].isna(), 2] = None
GIVEN: list[list[Any]] = [["weaver", "smith", "cook", "baker", "miller"], [1.0, 2.0, 5.0, np.nan]]
GIVEN += [["oulu", "turku", np.nan]]
ENCODERS = [
    OneHotEncoder(),
    OneHotEncoder(drop="first", sparse_output=False, dtype=np.float32),
    OneHotEncoder(drop="if_binary"),
    OneHotEncoder(max_categories=2, handle_unknown="infrequent_if_exist"),
    OneHotEncoder(min_frequency=15),
    OneHotEncoder(min_frequency=0.3, max_categories=3, drop="first"),
    OneHotEncoder(min_frequency=1000),  # all of them are rare
    OrdinalEncoder(),
    OrdinalEncoder(min_frequency=15, encoded_missing_value=-3),
    OrdinalEncoder(max_categories=2, handle_unknown="use_encoded_value", unknown_value=-1),
]
ONCE = examples(16, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("encoder", ENCODERS, ids=repr)
@pytest.mark.parametrize("rows", [HOLES, TEXT], ids=["numbers", "text"])
@ONCE
@given(deal=deals(60))
def test_any_deal_equals_scikit_learn_on_the_pooled_rows(
    encoder: Any, rows: Any, deal: list[np.ndarray]
) -> None:
    assert_as_pooled(encoder, rows, dealt(rows, deal))


@pytest.mark.parametrize("encoder", ENCODERS, ids=repr)
def test_float32_and_objects_without_names(encoder: Any) -> None:
    for rows in (HOLES.astype(np.float32), OBJECTS):
        assert_as_pooled(encoder, rows, even(rows, 3))


@pytest.mark.parametrize("encoder", ENCODERS[3:7] + ENCODERS[8:], ids=repr)
@ONCE
@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40), st.integers(1, 4))
def test_rare_ones_are_grouped_as_scikit_learn_groups_them(
    encoder: Any, letters: list[str], nodes: int
) -> None:
    rows = np.array(letters, dtype=object)[:, None]
    assert_as_pooled(encoder, rows, even(rows, nodes))


@pytest.mark.parametrize(
    "encoder", [OneHotEncoder(categories=GIVEN), OrdinalEncoder(categories=GIVEN)], ids=repr
)
@pytest.mark.parametrize("rarest", [None, 15])
def test_categories_that_the_user_gave(encoder: Any, rarest: int | None) -> None:
    encoder = encoder.set_params(min_frequency=rarest)
    assert_as_pooled(encoder, TEXT, even(TEXT, 3))


def test_unknown_ones_may_be_left_out_of_the_counts() -> None:
    few: list[Any] = [["cook", "smith"], [2.0], ["oulu"]]
    for encoder in (
        OneHotEncoder(categories=few, handle_unknown="ignore", min_frequency=15),
        OrdinalEncoder(
            categories=few, handle_unknown="use_encoded_value", unknown_value=-1, max_categories=2
        ),
    ):
        assert_as_pooled(encoder, TEXT, even(TEXT, 3))


class Spent(Shard):
    """Rows that are not there any more."""

    name = "spent"

    def blocks(self) -> Any:
        raise AssertionError("read again")


def test_the_rows_are_read_once_for_categories_and_counts() -> None:
    plain, counted = learn(OneHotEncoder(), [TEXT]), learn(OneHotEncoder(min_frequency=2), [TEXT])
    assert [len(run.history) for run in (plain, counted)] == [1, 2]
    _, bound = agree(shards(TEXT), Inline())
    learner = counted.plan.learner
    ctx = Ctx(schema=counted.schema)
    _, local = learner.work(None, None, bound["node0"], ctx)
    again, _ = learner.work(learner.question(counted.point), local, Spent(), ctx)
    assert_alike(dict(again.values), dict(counted.update.values), 0)


def test_a_column_without_any_value_is_one_category() -> None:
    rows = np.column_stack([np.full(4, np.nan), np.arange(4.0)])
    for encoder in (OneHotEncoder(), OneHotEncoder(min_frequency=2), OrdinalEncoder(min_frequency=2)):
        assert_as_pooled(encoder, rows, even(rows, 2))


@pytest.mark.parametrize("encoder", [OneHotEncoder(), OrdinalEncoder(min_frequency=5)], ids=repr)
def test_laws(encoder: Any) -> None:
    check_learner(FITS[type(encoder)](encoder), X)


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        (OneHotEncoder(categories=GIVEN[:2]), "categories= lists 2 columns and the rows have 3"),
        (
            OneHotEncoder(categories=[["a", "a"], *GIVEN[1:]]),
            "In column 0, the predefined categories contain dup",
        ),
        (
            OneHotEncoder(categories=[["cook", "baker"], *GIVEN[1:]]),
            "node 'node0'.* column 'job': 'smith', 'weaver' not among the categories given.*\"ignore\"",
        ),
        (
            OrdinalEncoder(categories=[*GIVEN[:2], ["oulu", "turku"]]),
            "column 'town': nan not.*use_encoded_value",
        ),
        (OneHotEncoder(drop=["cook", 9.0, "oulu"]), "were supposed to be dropped, but were not found"),
        (OneHotEncoder(handle_unknown="guess"), "The 'handle_unknown' parameter of OneHotEncoder must be"),
        (
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=1),
            "unknown_value 1 is one of the",
        ),
    ],
)
def test_what_scikit_learn_refuses_is_refused(encoder: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        together(encoder, [TEXT])


def test_sparse_and_infinite_and_weighted_rows_are_refused() -> None:
    with pytest.raises(DataError, match="Sparse data was passed"):
        together(OneHotEncoder(), [sparse.csr_matrix(X)])
    with pytest.raises(DataError, match="column '0': at least 1 values are infinite"):
        together(OneHotEncoder(), [np.array([[np.inf]])])
    with pytest.raises(DataError, match="OneHotEncoder takes no sample weights"):
        together(OneHotEncoder(), [(X, None, np.ones(60))])


def test_long_texts_and_short_ones_do_not_cut_each_other() -> None:
    rows = [np.array([["a"]], dtype=object), np.array([["a" * 40], [""]], dtype=object)]
    got = together(OneHotEncoder(), rows)
    assert_alike(got, pooled(OneHotEncoder(), np.concatenate(rows)), 0)


def test_whole_numbers_and_booleans_are_called_as_scikit_learn_calls_them() -> None:
    frame = pd.DataFrame(
        {"grade": [1, 2, 5, 1], "old": [True, False, True, True], "dose": [0.5, 1.0, 0.5, 1.0]}
    )
    for rows in (frame, frame[["grade"]].to_numpy(), frame.assign(job=["a", "b", "a", "a"])):
        ours = together(OneHotEncoder(), [rows[:2], rows[2:]])
        theirs = OneHotEncoder().fit(rows)
        assert ours.get_feature_names_out().tolist() == theirs.get_feature_names_out().tolist()
        assert [c.dtype for c in ours.categories_] == [c.dtype for c in theirs.categories_]
        assert (ours.transform(rows) != theirs.transform(rows)).nnz == 0


def test_a_column_that_is_whole_at_one_node_only_is_a_float() -> None:
    sites = [pd.DataFrame({"g": [1, 2]}), pd.DataFrame({"g": [1.5, 2.0]})]
    assert together(OneHotEncoder(), sites).get_feature_names_out().tolist() == ["g_1.0", "g_1.5", "g_2.0"]

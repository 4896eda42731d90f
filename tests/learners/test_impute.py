from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from pooling import FITS, assert_alike, assert_as_pooled, dealt, even, pooled, together
from scipy import sparse
from sklearn.impute import SimpleImputer

from examples import examples
from talkoot.core.errors import DataError, NotDistributable
from talkoot.testing import check_learner
from talkoot.testing.strategies import deals

RNG = np.random.default_rng(0)
X = np.column_stack([RNG.normal(1e6, 1, 50), RNG.integers(0, 4, 50), RNG.exponential(size=50), np.ones(50)])
HOLES = np.where(RNG.random(X.shape) < 0.3, np.nan, X)
HOLES[:, 3] = 1.0  # no hole: the indicator leaves it out
WIDE: Any = sparse.random(50, 4, density=0.4, format="csr", random_state=0)
WIDE.data[:8] = np.nan
TEXT = pd.DataFrame({"job": ["cook", None, "baker", "baker", None], "years": [1.0, np.nan, 3.0, 3.0, 2.0]})
TEXT["none"] = [None, None, "a", None, None]
IMPUTERS = [
    SimpleImputer(),
    SimpleImputer(strategy="median", add_indicator=True),
    SimpleImputer(strategy="most_frequent"),
    SimpleImputer(strategy="constant", fill_value=3, add_indicator=True),
]
ONCE = examples(20, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("imputer", IMPUTERS, ids=repr)
@ONCE
@given(deals(50))
def test_any_deal_equals_scikit_learn_on_the_pooled_rows(imputer: Any, deal: list[np.ndarray]) -> None:
    assert_as_pooled(imputer, HOLES, dealt(HOLES, deal))


@pytest.mark.parametrize("imputer", IMPUTERS, ids=repr)
def test_float32(imputer: Any) -> None:
    rows = HOLES.astype(np.float32)
    assert_as_pooled(imputer, rows, even(rows, 3), rtol=1e-6)


@pytest.mark.parametrize("imputer", IMPUTERS, ids=repr)
def test_a_marker_that_is_a_number(imputer: Any) -> None:
    imputer = SimpleImputer(**imputer.get_params() | {"missing_values": 1})  # all of the last column
    rows = np.where(np.isnan(HOLES), 1.0, HOLES)
    assert_as_pooled(imputer, rows, even(rows, 3))


@pytest.mark.parametrize("imputer", IMPUTERS, ids=repr)
@pytest.mark.parametrize("keep", [True, False])
def test_sparse_rows(imputer: Any, keep: bool) -> None:
    imputer = SimpleImputer(**imputer.get_params() | {"keep_empty_features": keep})
    if imputer.strategy == "constant" and not keep:
        with pytest.raises(DataError, match="Take keep_empty_features=True"):
            together(imputer, [WIDE])
    else:
        assert_as_pooled(imputer, WIDE, even(WIDE, 3))


def test_a_sparse_marker() -> None:
    rows = WIDE.copy()
    rows.data[:8] = -1
    imputer = SimpleImputer(missing_values=-1)
    assert_as_pooled(imputer, rows, even(rows, 2))
    with pytest.raises(
        DataError, match="Imputation not possible when missing_values == 0 and input is sparse"
    ):
        together(SimpleImputer(missing_values=0), [rows])


@pytest.mark.parametrize("strategy", ["most_frequent", "constant"])
@pytest.mark.parametrize("indicator", [True, False])
def test_text_beside_numbers(strategy: str, indicator: bool) -> None:
    imputer = SimpleImputer(strategy=strategy, add_indicator=indicator)
    table = TEXT.astype(object).where(TEXT.notna(), np.nan)
    assert_as_pooled(imputer, table, even(table, 2))


def test_a_marker_that_is_text() -> None:
    table = pd.DataFrame({"job": ["cook", "?", "baker", "baker", "?"]}).astype(object)
    imputer = SimpleImputer(strategy="most_frequent", missing_values="?")
    assert_as_pooled(imputer, table, even(table, 2))


def test_none_marks_text_too() -> None:
    rows = np.array([["cook"], [None], ["baker"], ["baker"]], dtype=object)
    imputer = SimpleImputer(strategy="most_frequent", missing_values=None)
    assert_as_pooled(imputer, rows, even(rows, 2))


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent", "constant"])
@pytest.mark.parametrize("keep", [True, False])
def test_a_column_without_any_value(strategy: str, keep: bool) -> None:
    table = pd.DataFrame({"age": [1.0, 2.0, np.nan], "dose": [np.nan] * 3})
    imputer = SimpleImputer(strategy=strategy, keep_empty_features=keep, add_indicator=True)
    if keep:
        got = together(imputer, even(table, 2))
    else:
        with pytest.warns(UserWarning, match=r"'dose': every value is missing.*SimpleImputer drops it"):
            got = together(imputer, even(table, 2))
    assert_alike(got, pooled(imputer, table), 1e-9)


def test_ties_go_to_the_least_and_counts_are_over_all_nodes() -> None:
    got = together(
        SimpleImputer(strategy="most_frequent"), [np.array([[5.0], [5.0], [2.0]]), np.array([[2.0]])]
    )
    assert got.statistics_.tolist() == [2.0]


@pytest.mark.parametrize("imputer", [i for i in IMPUTERS if i.strategy != "median"], ids=repr)
def test_laws(imputer: Any) -> None:
    check_learner(FITS[SimpleImputer](imputer), HOLES[:30])


@pytest.mark.parametrize(
    ("imputer", "rows", "said"),
    [
        (SimpleImputer(), TEXT, "column 'job': it holds text.*most_frequent"),
        (SimpleImputer(missing_values=-1), HOLES, "column '0': values are missing besides those .*=-1 marks"),
        (SimpleImputer(missing_values=None), HOLES, "'X' and 'missing_values' types are expected to be both"),
        (SimpleImputer(strategy="constant", fill_value="a"), HOLES, "fill_value='a'.*cannot be cast"),
        (SimpleImputer(), np.array([[np.inf]]), "column '0': at least 1 values are infinite"),
        (
            SimpleImputer(missing_values="?", strategy="most_frequent"),
            TEXT[["job"]],
            r"column 'job': values are missing besides those that missing_values='\?' marks",
        ),
    ],
)
def test_what_cannot_be_imputed_is_refused_by_name(imputer: Any, rows: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        together(imputer, [rows])


@pytest.mark.parametrize(
    ("imputer", "said"),
    [
        (SimpleImputer(strategy=np.nanmax), "a function of all the values of a column.*Take one of: mean"),
        (
            SimpleImputer(missing_values=pd.NA),
            "nodes read pandas.NA as NaN or None. Take missing_values=np.nan",
        ),
    ],
)
def test_what_no_learner_fits(imputer: Any, said: str) -> None:
    with pytest.raises(NotDistributable, match=said):
        FITS[SimpleImputer](imputer)


def test_weights_are_refused() -> None:
    with pytest.raises(DataError, match="SimpleImputer takes no sample weights"):
        together(SimpleImputer(), [(HOLES, None, np.ones(50))])


def test_medians_of_many_values_are_those_of_scikit_learn() -> None:
    rows = np.where(RNG.random((9001, 3)) < 0.1, np.nan, RNG.normal([0, 1e6, -3], [1, 1, 1e-9], (9001, 3)))
    medians = {
        tuple(together(SimpleImputer(strategy="median"), even(rows, n)).statistics_) for n in (1, 3, 3, 5)
    }
    assert medians == {tuple(pooled(SimpleImputer(strategy="median"), rows).statistics_)}

"""Fitted together over nodes, and by scikit-learn on the pooled rows: are they the same?"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone

from talkoot.core.engine import Run
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.data.schema import agree
from talkoot.data.shards import shards
from talkoot.engines.inline import Inline
from talkoot.learners.preprocess import encoders as encode
from talkoot.learners.preprocess import impute, quantiles
from talkoot.learners.preprocess import scalers as preprocess

FITS: dict[type, Callable[[Any], Any]] = {
    **preprocess.FITS,
    **impute.FITS,
    **encode.FITS,
    **quantiles.FITS,
}


def learn(estimator: Any, parts: Sequence[Any], **agreed: Any) -> Run:
    """A run over the parts, one a node: rows, or (rows, None, weights). `agreed` changes the schema."""
    schema, bound = agree(shards({f"node{i}": part for i, part in enumerate(parts)}), Inline())
    schema = replace(schema, **agreed)
    return run(Plan(FITS[type(estimator)](estimator)), bound, Inline(), schema=schema)


def together(estimator: Any, parts: Sequence[Any]) -> Any:
    """The estimator fitted over nodes."""
    return learn(estimator, parts).model.result


def pooled(estimator: Any, X: Any, **fit: Any) -> Any:
    """The estimator fitted by scikit-learn, whose warnings are not the point here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return clone(estimator).fit(X, **fit)


def dealt(X: Any, deal: Sequence[np.ndarray]) -> list[Any]:
    """Rows by node."""
    return [X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows] for rows in deal]


def even(X: Any, nodes: int) -> list[Any]:
    """Rows dealt over nodes in turn, and one node more that has none."""
    return dealt(X, [np.arange(X.shape[0])[i::nodes] for i in range(nodes)] + [np.arange(0)])


def assert_as_pooled(estimator: Any, X: Any, parts: Sequence[Any], *, rtol: float = 1e-9) -> None:
    """All that scikit-learn's fit leaves behind, private or not, is there, and transforms alike."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = together(estimator, parts)
    want = pooled(estimator, X)
    assert_alike(got, want, rtol, atol=1e-3 * rtol)
    assert_alike(_shown(got, X), _shown(want, X), rtol, atol=rtol)
    assert list(got.get_feature_names_out()) == list(want.get_feature_names_out())


def assert_alike(got: Any, want: Any, rtol: float, where: str = "", *, atol: float = 1e-12) -> None:
    """Deep equality within rtol of each number; where one is None or NaN, so is the other."""
    if isinstance(want, BaseEstimator):
        assert type(got) is type(want)
        assert vars(got).keys() == vars(want).keys(), where
        for name, value in vars(want).items():
            assert_alike(vars(got)[name], value, rtol, f"{where}.{name}", atol=atol)
    elif isinstance(want, list | tuple | dict) or (isinstance(want, np.ndarray) and want.dtype == object):
        items = want.items() if isinstance(want, dict) else enumerate(np.asarray(want, object).ravel())
        other = got if isinstance(want, dict) else np.asarray(got, object).ravel()
        assert len(got) == len(want), where
        for key, value in items:
            assert_alike(other[key], value, rtol, f"{where}[{key}]", atol=atol)
    elif isinstance(want, np.ndarray | np.generic | float | int) and not isinstance(want, str | bool):
        np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=rtol, atol=atol, err_msg=where)
    else:
        assert got is want or got == want, f"{where}: {got!r} != {want!r}"


def _shown(fitted: Any, X: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = fitted.transform(copy.deepcopy(X))
    return out if isinstance(out, np.ndarray) else out.toarray()

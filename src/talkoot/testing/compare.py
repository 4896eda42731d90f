"""`assert_same` for updates, models and fitted estimators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from talkoot.core.update import Update


def assert_same(a: Any, b: Any, *, rtol: float, where: str = "result") -> None:
    """Fail where two results differ by more than `rtol`, relative to the greatest entry of each array.

    Compares updates, mappings, sequences, dataclasses, arrays, sparse matrices and the fitted attributes
    (names that end in ``_``) of estimators.

    Raises:
        AssertionError: names the place, such as ``result.coef_``.
    """
    if isinstance(a, Update):
        a, b = dict(a.values), dict(b.values)
    if isinstance(a, Mapping):
        assert set(a) == set(b), f"{where}: {sorted(a)} != {sorted(b)}"
        for key in a:
            assert_same(a[key], b[key], rtol=rtol, where=f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), f"{where}: {len(a)} entries != {len(b)}"
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, rtol=rtol, where=f"{where}[{index}]")
    elif hasattr(a, "get_params"):
        assert_same(_learned(a), _learned(b), rtol=rtol, where=where)
    elif hasattr(a, "node_count"):  # a compiled tree of scikit-learn
        assert_same(a.__getstate__(), b.__getstate__(), rtol=rtol, where=where)
    elif is_dataclass(a):
        for field in fields(a):
            assert_same(
                getattr(a, field.name), getattr(b, field.name), rtol=rtol, where=f"{where}.{field.name}"
            )
    else:
        _assert_close(a, b, rtol, where)


def _learned(estimator: Any) -> dict[str, Any]:
    names = [name for name in vars(estimator) if name.endswith("_") and not name.startswith("_")]
    parts = [name for name in ("steps", "transformer_list") if hasattr(estimator, name)]
    return {name: getattr(estimator, name) for name in (*names, *parts)}


def _assert_close(a: Any, b: Any, rtol: float, where: str) -> None:
    x, y = (np.asarray(v.toarray() if hasattr(v, "toarray") else v) for v in (a, b))
    assert x.shape == y.shape, f"{where}: shapes {x.shape} != {y.shape}"
    if x.dtype == object:
        for index, (one, other) in enumerate(zip(x.ravel(), y.ravel(), strict=True)):
            assert _both_nan(one, other) or np.ndim(one) or one == other, f"{where}: {one!r} != {other!r}"
            if np.ndim(one):
                _assert_close(one, other, rtol, f"{where}[{index}]")
        return
    if x.dtype.kind not in "fc":
        assert np.array_equal(x, y), f"{where}: {x!r} != {y!r}"
        return
    atol = rtol * float(np.nanmax(np.abs(x), initial=0.0, where=np.isfinite(x)))
    np.testing.assert_allclose(x, y, rtol=rtol, atol=atol, err_msg=where)


def _both_nan(a: Any, b: Any) -> bool:
    return isinstance(a, float) and isinstance(b, float) and np.isnan(a) and np.isnan(b)

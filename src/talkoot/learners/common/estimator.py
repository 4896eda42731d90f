"""What learners of scikit-learn estimators share: refused parameters, checks of rows, fitted clones."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from sklearn.base import clone

from talkoot.core.errors import DataError, NotDistributable
from talkoot.core.shard import Schema

FAR = 100.0  # standard deviations between center and mean above which rows are summed again


def refuse(estimator: Any, parameter: str, reason: str, instead: str) -> NoReturn:
    """Refuse an estimator's parameter, with the reason and what to do instead.

    Raises:
        NotDistributable: always.
    """
    name, value = type(estimator).__name__, estimator.get_params(deep=False)[parameter]
    raise NotDistributable(f"{name}({parameter}={value!r}) cannot be distributed: {reason}", cure=instead)


def fitted(estimator: Any, schema: Schema, **attributes: Any) -> Any:
    """A clone of `estimator` with fitted `attributes` and the schema's feature names."""
    made = clone(estimator)
    made.n_features_in_ = schema.features
    if schema.names is not None:
        made.feature_names_in_ = np.array(schema.names, dtype=object)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def unfitted(estimator: Any) -> Any:
    """A copy without what `estimator` has learned, which may be of rows that are held out now."""
    return clone(estimator, safe=False)


def require_finite(X: Any, schema: Schema, estimator: Any, *, missing: bool = False) -> None:
    """Refuse infinite numbers in (rows, features), and NaN unless it may be `missing`, naming the column.

    Raises:
        DataError: some value is not finite.
    """
    sparse = hasattr(X, "tocsr")
    values = X.data if sparse else X
    if np.isfinite(values.sum(dtype=np.float64)) or not _odd(values, missing).any():
        return
    bad = _odd(X.toarray() if sparse else X, missing)
    column = int(bad.any(axis=0).argmax())
    what = "infinite" if missing else "missing (NaN) or infinite"
    cure = "Put SimpleImputer() in front in a Pipeline, or clean the column."
    raise DataError(
        f"at least {int(bad[:, column].sum())} values are {what}, "
        f"which {type(estimator).__name__} does not accept",
        column=schema.column(column),
        cure="Clean the column, or make them missing (NaN)." if missing else cure,
    )


def _odd(values: np.ndarray, missing: bool) -> np.ndarray:
    return np.asarray(np.isinf(values) if missing else ~np.isfinite(values))


def better_center(
    count: float, sums: np.ndarray, squares: np.ndarray, center: np.ndarray
) -> np.ndarray | None:
    """A center for one more round where the old one is too far from the mean to be precise; else None.

    Args:
        count: total weight of the rows.
        sums: (features,) sum of x - center.
        squares: (features,) sum of (x - center)^2.
        center: (features,) the old center.
    """
    if count <= 0:
        return None
    offset = sums / count
    variance = np.maximum(squares / count - offset**2, 0.0)
    far = (np.abs(offset) > FAR * np.sqrt(variance)) & (np.abs(offset) > 1e-9 * np.abs(center))
    better = center + offset
    better[np.abs(better) < 1e-12 * np.abs(center)] = 0.0  # else rounding would need another round
    return better if far.any() else None

"""Rows in 32 bits, as scikit-learn's trees compare them."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.shard import Schema


def as_single(X: Any) -> np.ndarray:
    """Rows as trees compare them."""
    with np.errstate(over="ignore"):
        return np.asarray(X, dtype=np.float32)


def require_single(X: np.ndarray, schema: Schema) -> None:
    """Refuse rows of 32 bits that were finite in 64, naming the column.

    Raises:
        DataError: some value is infinite.
    """
    beyond = np.isinf(X).any(axis=0)
    if beyond.any():
        raise DataError(
            f"it holds numbers beyond {np.finfo(np.float32).max:.1e}, and trees compare 32 bits",
            column=schema.column(int(beyond.argmax())),
            cure="Correct them, or scale the column.",
        )

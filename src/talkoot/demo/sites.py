"""Rows that come with scikit-learn, dealt out to sites, to try a federation out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from sklearn.datasets import load_breast_cancer

TARGET = "benign"


def tumours(names: Sequence[str]) -> dict[str, pa.Table]:
    """Measures of 569 tumours, dealt out unevenly: the last site has three times the rows of the first.

    >>> [table.num_rows for table in tumours(["oslo", "lund", "bergen"]).values()]
    [95, 189, 285]
    """
    found = load_breast_cancer()
    order = np.random.default_rng(0).permutation(len(found.target))
    weights = np.linspace(1, 3, len(names)) if len(names) > 1 else np.ones(1)
    ends = np.round(np.cumsum(weights) / weights.sum() * len(order)).astype(int)
    dealt = zip(names, np.split(order, ends[:-1]), strict=True)
    return {
        name: pa.table(
            {
                **dict(zip(map(str, found.feature_names), found.data[rows].T, strict=True)),
                TARGET: found.target[rows],
            }
        )
        for name, rows in dealt
    }

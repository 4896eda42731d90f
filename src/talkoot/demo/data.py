"""The demo's rows: 11,001 cells of forest in four wilderness areas; see README.md beside this file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

PATH = Path(str(files("talkoot.demo"))) / "covtype.parquet"
TARGET, BY = "cover", "area"


class Area(NamedTuple):
    """Rows of one area: (rows, 10) float64, and the kind of forest of each."""

    X: np.ndarray
    y: np.ndarray


def areas() -> dict[str, Area]:
    """Every area's rows, for those who want them as arrays.

    >>> {name: area.X.shape for name, area in areas().items()}
    {'Rawah': (4073, 10), 'Neota': (1379, 10), 'Comanche Peak': (4015, 10), 'Cache la Poudre': (1534, 10)}
    """
    table = pq.read_table(PATH)
    found = {}
    for name in pc.unique(table[BY]).to_pylist():
        part = table.filter(pc.equal(table[BY], name))
        features = part.drop_columns([TARGET, BY])
        X = np.column_stack([column.to_numpy() for column in features.columns]).astype(np.float64)
        found[name] = Area(X, np.array(part[TARGET].to_pylist()))
    return found

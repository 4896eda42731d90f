"""The demo's rows: 1,000 loans of six lenders; see README.md beside this file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

PATH = Path(str(files("talkoot.demo"))) / "loans.parquet"
TARGET, BY = "default", "lender"
TEXTS = 10  # the first columns are text, the others numbers


class Loans(NamedTuple):
    """Those of one lender: (rows, 17) texts and numbers, and 1 for each that was not paid back."""

    X: np.ndarray
    y: np.ndarray


def lenders() -> dict[str, Loans]:
    """Every lender's loans, for those who want them as arrays.

    >>> {name: loans.X.shape for name, loans in lenders().items()}  # doctest: +NORMALIZE_WHITESPACE
    {'business': (97, 17), 'furniture': (193, 17), 'new cars': (234, 17), 'other': (93, 17),
     'radio and TV': (280, 17), 'used cars': (103, 17)}
    """
    table = pq.read_table(PATH)
    found = {}
    for name in sorted(pc.unique(table[BY]).to_pylist()):
        part = table.filter(pc.equal(table[BY], name))
        found[name] = Loans(_array(part.drop_columns([TARGET, BY])), part[TARGET].to_numpy())
    return found


def _array(table: pa.Table) -> np.ndarray:
    return np.array([column.to_pylist() for column in table.columns], dtype=object).T

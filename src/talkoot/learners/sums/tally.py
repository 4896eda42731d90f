"""Counts of each value of each column: categories are united first, then counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Leaf, Update
from talkoot.learners.common.columnwise import check_block

Values = Sequence[Any]  # the values of one column: str or float
Agreed = Sequence[Values]  # those of all columns that nodes count


@final
@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Counts of a node's values, cached there so that its rows are read once."""

    rows: int  # number of rows
    counts: tuple[Counter[Any], ...]  # number of occurrences by value, one counter a column
    missing: np.ndarray  # (features,) number of missing values: NaN in numbers, None in text

    def distinct(self, schema: Schema) -> Update:
        """The leaves rows and missing (SUM), and for each column its distinct values (UNION).

        Text is sent as objects: in arrays of str every text would be as long as the longest.
        """
        values = {
            f"seen.{j}": np.array(sorted(counter), dtype=object if kind == "text" else _dtype(schema, j))
            for j, (counter, kind) in enumerate(zip(self.counts, schema.kinds, strict=True))
        }
        return Update(
            values={**self.row_counts(), **values},
            weight=float(self.rows),
            kinds=dict.fromkeys(values, Leaf.UNION),
        )

    def count(self, agreed: Agreed) -> Update:
        """The leaves rows and missing, and for each column the counts of the agreed values, all SUM."""
        counts = {
            f"count.{j}": np.array([float(self._count(j, value)) for value in values])
            for j, values in enumerate(agreed)
        }
        return Update(values={**self.row_counts(), **counts}, weight=float(self.rows))

    def row_counts(self) -> dict[str, np.ndarray]:
        """The leaves rows and missing."""
        return {"rows": np.array([float(self.rows)]), "missing": self.missing.astype(np.float64)}

    def _count(self, column: int, value: Any) -> int:
        return int(self.missing[column]) if is_missing(value) else self.counts[column][value]


def is_missing(value: Any) -> bool:
    """Whether a value is None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def tally(shard: Shard, schema: Schema, estimator: Any) -> Tally | None:
    """Count every value of every column of a node; None without rows.

    Raises:
        DataError: weights that the estimator does not take, or infinite numbers.
    """
    counts = tuple(Counter[Any]() for _ in schema.kinds)
    rows, missing = 0, np.zeros(schema.features, np.int64)
    for block in shard.blocks():
        check_block(block, schema, estimator)
        rows += len(block)
        for j, column in enumerate(_columns(block, schema)):
            count = _count_text if column.dtype == object else _count_numbers
            missing[j] += count(column, counts[j])
            if len(column) < len(block):
                counts[j][0.0] += len(block) - len(column)  # zeros that sparse rows do not store
    return Tally(rows, counts, missing) if rows else None


def distinct_values(update: Update, schema: Schema) -> tuple[list[Any], ...]:
    """The distinct values over all nodes, sorted, one list a column; missing ones left out."""
    return tuple(update.values[f"seen.{j}"].tolist() for j in range(schema.features))


def counts_of(update: Update, agreed: Agreed) -> list[np.ndarray]:
    """The counts of the agreed values, one array a column."""
    return [update.values[f"count.{j}"] for j in range(len(agreed))]


def columns_of(X: Any) -> list[np.ndarray]:
    """The columns of an array; of CSR the stored values of each column."""
    if isinstance(X, np.ndarray):
        return list(X.T)
    stored = X.tocsc()
    return np.split(stored.data, stored.indptr[1:-1])


def _columns(block: Block, schema: Schema) -> list[np.ndarray]:
    if isinstance(block.X, Mapping):
        return [block.X[name] for name in schema.labels]
    return columns_of(block.X)


def _count_text(column: np.ndarray, counter: Counter[Any]) -> int:
    counter.update(column.tolist())
    return counter.pop(None, 0)


def _dtype(schema: Schema, column: int) -> Any:
    return np.float64 if schema.kinds[column] == "number" else schema.dtype_of(column)


def _count_numbers(column: np.ndarray, counter: Counter[Any]) -> int:
    known = column[~np.isnan(column)]
    known = known.astype(np.float64, copy=False) if known.dtype.kind == "f" else known
    values, counts = np.unique(known, return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        counter[value] += count
    return len(column) - len(known)

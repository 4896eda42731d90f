"""Rows whose labels are known, and how rows that wait are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from talkoot.core.errors import DataError

OWN = (
    "__prediction",
    "__last",
    "__position",
    "__at",
    "__deadline",
    "__label",
)  # beside the columns of the rows


@final
@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Rows whose labels have become known, in that order.

    Args:
        rows: the rows as they came.
        y: their labels.
        was: the label that was reported before, for corrections; nan where the label is the first.
        predictions: what was predicted when they came; (rows,) or (rows, classes).
        last: the last label that was known when they came.
        positions: where they stand in the stream.
        unknown: ids of labels for which there is no row.
        repeated: ids of rows that came again.
    """

    rows: pa.Table
    y: NDArray[np.float64]
    was: NDArray[np.float64]
    predictions: NDArray[np.float64]
    last: NDArray[np.float64]
    positions: NDArray[np.int64]
    unknown: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.y)

    @classmethod
    def of(
        cls,
        table: pa.Table,
        y: NDArray[np.float64],
        was: NDArray[np.float64] | None = None,
        unknown: tuple[str, ...] = (),
    ) -> Labelled:
        """From rows of the table of those that wait."""
        before = np.full(len(y), np.nan) if was is None else was
        last, positions = (table.column(name).to_numpy() for name in OWN[1:3])
        predictions = _matrix(table.column(OWN[0]).combine_chunks())
        return cls(table.drop_columns(list(OWN)), y, before, predictions, last, positions, unknown)


def lists(predictions: NDArray[Any]) -> pa.ListArray:
    """Predictions as a column: a list for each row, of one number or one for each class."""
    wide = np.ascontiguousarray(predictions, np.float64).reshape(len(predictions), -1)
    offsets = np.arange(len(wide) + 1, dtype=np.int32) * wide.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(wide.ravel()))


def _matrix(column: pa.ListArray) -> NDArray[np.float64]:
    """Predictions from a column; classes that came later have 0 in the rows before."""
    if not len(column):
        return np.zeros(0)
    widths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    values = pc.list_flatten(column).to_numpy(zero_copy_only=False)
    most = int(widths.max())
    out = np.zeros((len(widths), most))
    out[np.arange(most) < widths[:, None]] = values
    return out[:, 0] if most == 1 else out


def texts(ids: Any, name: str) -> pa.Array:
    """Ids as texts, which rows and labels may have in other types.

    Raises:
        DataError: an id is missing, or is no text and no whole number.
    """
    column = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else pa.array(ids)
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kinds = (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string, pa.types.is_null)
    if not any(is_kind(column.type) for is_kind in kinds):
        raise DataError(
            f"ids of type {column.type} cannot be compared",
            column=name,
            cure="Give rows and labels an id that is a text or a whole number.",
        )
    if column.null_count:
        first = pc.index(pc.is_null(column), True).as_py()
        raise DataError(
            f"{column.null_count} of {len(column)} ids are missing, the first at row {first}",
            column=name,
            cure="Give each row an id, or leave rows without one out.",
        )
    return column.cast(pa.string())

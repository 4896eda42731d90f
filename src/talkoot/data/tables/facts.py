"""What a column holds over all of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import pyarrow as pa

from talkoot.data.tables.columns import EMPTY, NUMBER, TEXT, WHOLE, kind_of
from talkoot.data.tables.dtypes import is_whole, pandas_name

EXACT = 1 << 53  # the largest whole number up to which float64 holds every one


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What a column holds over all of its rows.

    Args:
        type: its Arrow type; of CSV files one that holds in all rows, null where all values are missing.
        nulls: whether values are missing.
        known: whether some are not.
        low: the least of whole numbers, or 0.
        high: the greatest of them, or 0.
        stored: the dtype that pandas wrote beside the column.
    """

    type: pa.DataType
    nulls: bool = False
    known: bool = True
    low: int = 0
    high: int = 0
    stored: str = ""

    @property
    def kind(self) -> str:
        """The kind: "number", "whole" where floats do not hold them, "text", "empty" or a type's name."""
        kind = kind_of(self.type)
        if kind in (NUMBER, TEXT) and not self.known:
            return EMPTY
        return WHOLE if max(self.high, -self.low) > EXACT and is_whole(self.dtype) else kind

    @property
    def dtype(self) -> str:
        """The dtype in pandas, see `dtypes`; empty without rows."""
        if not self.known and not self.nulls:
            return ""
        return pandas_name(self.type, nulls=self.nulls, stored=self.stored)

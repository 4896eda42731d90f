"""Facts about a column over all of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import pyarrow as pa

from talkoot.data.tables.columns import EMPTY, NUMBER, TEXT, WHOLE, kind_of
from talkoot.data.tables.dtypes import is_whole, pandas_name

EXACT = 1 << 53  # float64 represents every whole number up to here


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """Facts about a column over all of its rows."""

    type: pa.DataType  # of CSV files one that fits all rows; null where all values are missing
    nulls: bool = False
    known: bool = True  # whether some values are not missing
    low: int = 0  # the smallest whole number, or 0
    high: int = 0  # the largest whole number, or 0
    stored: str = ""  # the dtype that pandas stored with the column

    @property
    def kind(self) -> str:
        """The kind: "number", "whole" (too large for floats), "text", "empty" or a type's name."""
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

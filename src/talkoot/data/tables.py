"""Shards of tables in memory: pandas, polars, pyarrow and whatever speaks Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import pyarrow as pa

from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema
from talkoot.data.arrays import ArrayShard
from talkoot.data.columns import EMPTY, NUMBER, TEXT, encoded, kind_of, number_dtype, numbers, origin_of
from talkoot.data.source import ALIKE, Layout, Source, block_rows, cuts, wanted
from talkoot.data.targets import encode

NO_TEXT = np.array([None], dtype=object)


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TableShard(Source):
    """Rows of named columns in memory, some of them text.

    Args:
        name: the node's name.
        numbers: the number columns, (rows,) floats each.
        codes: the text columns as positions in their levels, (rows,) int32 each; -1 for missing.
        levels: the distinct texts of each, the last of them None.
        y: targets, (rows,).
        w: sample weights, (rows,) float64.
        own: the columns' names and kinds.
    """

    name: str
    numbers: Mapping[str, np.ndarray]
    codes: Mapping[str, np.ndarray]
    levels: Mapping[str, np.ndarray]
    y: np.ndarray | None = None
    w: np.ndarray | None = None
    own: Layout

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter((*self.numbers.values(), *self.codes.values())), ()))

    @property
    def has_target(self) -> bool:
        """Whether the rows have a target."""
        return self.y is not None

    def layout(self) -> Layout:
        """The columns."""
        return self.own

    def targets(self) -> Iterator[tuple[np.ndarray | None, np.ndarray | None, int]]:
        """All at once: they lie in memory."""
        yield self.y, self.w, self.rows

    def bind(self, schema: Schema, *, target: bool = True) -> Source:
        """The same columns in the schema's order, numbers in its dtype."""
        y = encode(self.y, schema) if target else None
        kinds = dict(zip(wanted(schema), schema.kinds, strict=True))
        floats = {k: self.numbers[k].astype(schema.dtype, copy=False) for k in kinds if kinds[k] == NUMBER}
        blank = np.zeros(self.rows, np.int32)
        codes = {k: self.codes.get(k, blank) for k in kinds if kinds[k] == TEXT}
        own = replace(self.own, names=tuple(kinds), kinds=tuple(kinds.values()), dtype=schema.dtype)
        levels = {k: self.levels.get(k, NO_TEXT) for k in codes}
        return replace(self, numbers=floats, codes=codes, levels=levels, y=y, own=own)

    def pick(self, rows: slice | np.ndarray, name: str) -> TableShard:
        """Some of the rows under another name; views where `rows` is a slice."""
        y, w = (None if v is None else v[rows] for v in (self.y, self.w))
        floats = {k: v[rows] for k, v in self.numbers.items()}
        codes = {k: v[rows] for k, v in self.codes.items()}
        return replace(self, name=name, numbers=floats, codes=codes, y=y, w=w)

    def deal(self, names: Sequence[str]) -> list[Source]:
        """Consecutive views."""
        return [self.pick(part, name) for part, name in zip(cuts(self.rows, len(names)), names, strict=True)]

    def blocks(self) -> Iterator[Block]:
        """Consecutive rows: views of numbers, text decoded."""
        names = [name for name in self.own.names if name in self.numbers or name in self.codes]
        step = block_rows(len(names), 8)
        for at in range(0, self.rows, step):
            part = slice(at, at + step)
            X = {
                k: self.numbers[k][part] if k in self.numbers else self.levels[k][self.codes[k][part]]
                for k in names
            }
            y, w = (None if v is None else v[part] for v in (self.y, self.w))
            yield Block(X=X, y=y, w=w)


def is_table(data: Any) -> bool:
    """Whether `data` is a table: it speaks Arrow, or pandas' protocol for exchange."""
    stream, exchange = hasattr(data, "__arrow_c_stream__"), hasattr(data, "__dataframe__")
    return (stream or exchange) and not isinstance(data, pa.ChunkedArray) and not _is_series(data)


def _is_series(data: Any) -> bool:
    return type(data).__name__ == "Series"


def as_arrow(data: Any) -> tuple[Any, bool]:
    """A table as a pyarrow table, and whether its columns have names (pandas numbers them where not).

    Raises:
        DataError: a column that Arrow cannot hold, or two columns of one name.
    """
    named = True
    try:
        if type(data).__module__.partition(".")[0] == "pandas":
            named = any(isinstance(name, str) for name in data.columns) or not len(data.columns)
            table = pa.Table.from_pandas(data, preserve_index=False)
        elif hasattr(data, "__arrow_c_stream__"):
            table = pa.table(data)
        else:
            table = pa.interchange.from_dataframe(data)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError) as error:
        raise _unreadable(data, error) from None
    double = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if double:
        raise DataError("two columns have this name", column=double[0], cure="Rename one of them.")
    return table, named


def _unreadable(data: Any, error: Exception) -> DataError:
    """The error for a table that Arrow does not take, with the column that is to blame where one is."""
    for name in map(str, getattr(data, "columns", ())):
        try:
            pa.array(data[name], from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            text = next((value for value in data[name] if isinstance(value, str)), None)
            what = "values of several kinds" if text is None else f"text (for example {text!r}) among numbers"
            return DataError(f"it holds {what}", column=name, cure=ALIKE)
        except KeyError:  # a name that is no text
            continue
    cure = "Give each column one kind of value and a name of its own."
    return DataError(f"the table cannot be read: {error}", cure=cure)


def from_arrow(
    name: str, table: Any, features: Sequence[str], y: np.ndarray | None, w: np.ndarray | None, named: bool
) -> ArrayShard | TableShard:
    """A shard of some columns of a table.

    Args:
        name: the node's name.
        table: pyarrow table.
        features: the columns to take, in order.
        y: targets, (rows,) or (rows, outputs).
        w: sample weights, (rows,).
        named: whether the names are the user's; else columns are known by position.
    """
    names = tuple(features) if named else tuple(map(str, range(len(features))))
    columns = dict(zip(names, (table.column(k) for k in features), strict=True))
    kinds = {k: _kind(column) for k, column in columns.items()}
    dtype = number_dtype([c.type for c in columns.values()])
    text = {k: encoded(c) for k, c in columns.items() if kinds[k] == TEXT}
    own = Layout(
        names=names,
        kinds=tuple(kinds.values()),
        named=named,
        dtype=dtype,
        origins="".join(origin_of(c.type) for c in columns.values()),
        examples=tuple(stray(text[k][1]) if k in text else "" for k in names),
    )
    plain = {k: c for k, c in columns.items() if kinds[k] in (NUMBER, EMPTY)}
    if not text:
        X = filled(list(plain.values()), table.num_rows, dtype)
        return ArrayShard(name=name, X=X, y=y, w=w, own=own)
    floats = {k: _floats(c, dtype) for k, c in plain.items()}
    codes, levels = ({k: pair[i] for k, pair in text.items()} for i in (0, 1))
    return TableShard(name=name, numbers=floats, codes=codes, levels=levels, y=y, w=w, own=own)


def _kind(column: Any) -> str:
    kind = kind_of(column.type)
    return EMPTY if kind in (NUMBER, TEXT) and column.null_count == len(column) else kind


def _floats(column: Any, dtype: np.dtype[Any]) -> np.ndarray:
    if kind_of(column.type) != NUMBER:
        return np.full(len(column), np.nan, dtype)
    return numbers(column, dtype)


def filled(columns: Sequence[Any], rows: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Columns as one C-ordered matrix, filled by blocks of rows that stay in the cache."""
    X = np.empty((rows, len(columns)), dtype)
    plain = [_floats(column, dtype) for column in columns]
    step = block_rows(len(columns), dtype.itemsize)
    for at in range(0, rows, step):
        for j, column in enumerate(plain):
            X[at : at + step, j] = column[at : at + step]
    return X


def stray(levels: np.ndarray) -> str:
    """A text that is no number, if there is one, as an example for errors."""
    known = [level for level in levels if level is not None]
    return next((level for level in known if not is_number(level)), known[0] if known else "")


def is_number(text: str) -> bool:
    """Whether a text reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def as_table(shard: ArrayShard) -> TableShard:
    """A shard of number columns as a table, for where one of them holds text elsewhere."""
    columns = {k: shard.X[:, j] for j, k in enumerate(shard.layout().schema().names or shard.layout().names)}
    own = shard.layout()
    return TableShard(name=shard.name, numbers=columns, codes={}, levels={}, y=shard.y, w=shard.w, own=own)

"""Shards of tables in memory: pandas, polars, pyarrow and others with an Arrow interface."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import pyarrow as pa

from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema
from talkoot.data.tables.arrays import ArrayShard
from talkoot.data.tables.columns import (
    EMPTY,
    FLOAT64,
    NUMBER,
    TEXT,
    WHOLE,
    factorize,
    kind_of,
    number_dtype,
    numbers,
)
from talkoot.data.tables.dtypes import is_whole, of_frame, pandas_name, value_dtype
from talkoot.data.tables.facts import EXACT
from talkoot.data.tables.file_facts import index_of, stored_dtypes
from talkoot.data.tables.source import ALIKE, Layout, MemoryShard, Source, block_rows
from talkoot.data.tables.strays import Stray, are_numbers, cure_of, in_table, is_number, row_label
from talkoot.data.targets import encode

NO_TEXT = np.array([None], dtype=object)


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TableShard(MemoryShard):
    """Rows of named columns in memory, some of them text."""

    name: str
    numbers: Mapping[str, np.ndarray]  # (rows,) floats each, or integers too large for floats
    # text columns as positions in their levels, (rows,) int32; -1 for missing
    codes: Mapping[str, np.ndarray]
    levels: Mapping[str, np.ndarray]  # the distinct texts of each text column, the last of them None
    y: np.ndarray | None = None  # targets, (rows,)
    w: np.ndarray | None = None  # sample weights, (rows,) float64
    qid: np.ndarray | None = None  # query ids, (rows,)
    own: Layout  # the columns' names and kinds

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter((*self.numbers.values(), *self.codes.values())), ()))

    def layout(self) -> Layout:
        """The columns."""
        return self.own

    def bind(self, schema: Schema, *, target: bool = True) -> Source:
        """The same columns in the schema's order and dtype."""
        y = encode(self.y, schema) if target else None
        kinds = dict(zip(schema.labels, schema.kinds, strict=True))
        if not schema.mixed:  # large whole numbers are read as floats
            X = stack_columns([self.numbers[k] for k in kinds], self.rows, schema.dtype)
            return ArrayShard(name=self.name, X=X, y=y, w=self.w, qid=self.qid)
        dtypes = {k: schema.dtype_of(j) for j, k in enumerate(kinds)}
        floats = {k: self.numbers[k].astype(dtypes[k], copy=False) for k in kinds if kinds[k] != TEXT}
        blank = np.zeros(self.rows, np.int32)
        codes = {k: self.codes.get(k, blank) for k in kinds if kinds[k] == TEXT}
        own = replace(
            self.own,
            names=tuple(kinds),
            kinds=tuple(kinds.values()),
            dtypes=schema.dtypes or ("",) * len(kinds),
            dtype=schema.dtype,
        )
        levels = {k: self.levels.get(k, NO_TEXT) for k in codes}
        return replace(self, numbers=floats, codes=codes, levels=levels, y=y, own=own)

    def pick(self, rows: slice | np.ndarray, name: str) -> TableShard:
        """Some of the rows under another name; views where `rows` is a slice."""
        y, w, qid = (None if v is None else v[rows] for v in (self.y, self.w, self.qid))
        floats = {k: v[rows] for k, v in self.numbers.items()}
        codes = {k: v[rows] for k, v in self.codes.items()}
        return replace(self, name=name, numbers=floats, codes=codes, y=y, w=w, qid=qid)

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
            y, w, qid = (None if v is None else v[part] for v in (self.y, self.w, self.qid))
            yield Block(X=X, y=y, w=w, qid=qid)


def is_table(data: Any) -> bool:
    """Whether `data` is a table: it has the Arrow stream interface or the dataframe exchange protocol."""
    if isinstance(data, type):
        return False  # the class itself
    stream, exchange = hasattr(data, "__arrow_c_stream__"), hasattr(data, "__dataframe__")
    one_column = isinstance(data, pa.ChunkedArray) or type(data).__name__ == "Series"
    return (stream or exchange) and not one_column


def as_arrow(data: Any, missing: Collection[str] = ()) -> tuple[Any, bool]:
    """A table as a pyarrow table, and whether its columns have names (pandas may number them).

    Raises:
        DataError: a column that Arrow cannot hold, or two columns of one name.
    """
    named = True
    try:
        if type(data).__module__.partition(".")[0] == "pandas":
            named = any(isinstance(name, str) for name in data.columns) or not len(data.columns)
            table = pa.Table.from_pandas(_mask_missing_texts(data, missing), preserve_index=False)
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


def _mask_missing_texts(frame: Any, missing: Collection[str]) -> Any:
    """A pandas frame with None for texts that stand for missing values, in columns of objects."""
    places = [i for i, kind in enumerate(frame.dtypes) if missing and str(kind) == "object"]
    if places:
        frame = frame.copy(deep=False)
        for i in places:
            column = frame.iloc[:, i]
            frame.isetitem(i, column.mask(column.isin(list(missing)), None))
    return frame


def dtypes_of(data: Any, table: Any) -> dict[str, str]:
    """The dtypes that a table's columns have, or would have, in pandas; see `dtypes`."""
    if type(data).__module__.partition(".")[0] == "pandas":
        return of_frame(data)
    stored = stored_dtypes(table.schema)
    columns = zip(table.column_names, table.columns, strict=True)
    return {k: pandas_name(c.type, nulls=c.null_count > 0, stored=stored.get(k, "")) for k, c in columns}


def _unreadable(data: Any, error: Exception) -> DataError:
    """The error for a table that Arrow cannot read, with the column that causes it, if one does."""
    for name in map(str, getattr(data, "columns", ())):
        try:
            pa.array(data[name], from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            return several_kinds(data[name], name)
        except KeyError:  # a name that is not text
            continue
    cure = "Give each column one kind of value and a name of its own."
    return DataError(f"the table cannot be read: {error}", cure=cure)


def several_kinds(values: Iterable[Any], column: str) -> DataError:
    """The error for a column of objects of several kinds, with a text among numbers if there is one."""
    texts = [(row, value) for row, value in enumerate(values) if isinstance(value, str)]
    if not texts:
        return DataError("it holds values of several kinds", column=column, cure=ALIKE)
    row, text = next((pair for pair in texts if not is_number(pair[1])), texts[0])
    shown = Stray(text, row_label(row))
    return DataError(f"it holds text (for example {shown}) among numbers", column=column, cure=cure_of(text))


def from_arrow(
    name: str,
    table: Any,
    features: Sequence[str],
    y: np.ndarray | None,
    w: np.ndarray | None,
    qid: np.ndarray | None,
    *,
    dtypes: Mapping[str, str],
    named: bool = True,
    missing: Collection[str] = (),
) -> ArrayShard | TableShard:
    """A shard of the columns `features` of a pyarrow table, in that order.

    `dtypes` are the columns' dtypes in pandas. Where they are not `named` by the user, columns are named by
    position.
    """
    names = tuple(features) if named else tuple(map(str, range(len(features))))
    columns = dict(zip(names, (_parse_numbers(table.column(k), missing) for k in features), strict=True))
    dtypes = {
        k: "float64" if c.type != table.column(k).type else dtypes[k]
        for k, c in zip(features, columns.values(), strict=True)
    }
    kinds = {
        k: _kind(column, dtypes[own]) for own, (k, column) in zip(features, columns.items(), strict=True)
    }
    dtype = number_dtype([c.type for c in columns.values()])
    text = {k: _mask_missing_codes(*factorize(c), missing) for k, c in columns.items() if kinds[k] == TEXT}
    own = Layout(
        names=names,
        kinds=tuple(kinds.values()),
        named=named,
        dtype=dtype,
        dtypes=tuple(dtypes[k] if len(table) else "" for k in features),
        strays={k: in_table(*pair) for k, pair in text.items()},
        left_out={k: why for k, why in index_of(table.schema).items() if k not in features},
    )
    plain = {k: c for k, c in columns.items() if kinds[k] in (NUMBER, EMPTY, WHOLE)}
    if not text and WHOLE not in kinds.values():
        X = row_major_matrix(list(plain.values()), table.num_rows, dtype)
        return ArrayShard(name=name, X=X, y=y, w=w, qid=qid, own=own)
    exact = {k: value_dtype(d) if kinds[k] == WHOLE else None for k, d in zip(names, own.dtypes, strict=True)}
    floats = {k: _floats(c, exact[k] or dtype) for k, c in plain.items()}
    codes, levels = ({k: pair[i] for k, pair in text.items()} for i in (0, 1))
    return TableShard(name=name, numbers=floats, codes=codes, levels=levels, y=y, w=w, qid=qid, own=own)


def _parse_numbers(column: Any, missing: Collection[str]) -> Any:
    """A column; text that holds only numbers and texts for missing values becomes floats."""
    if not missing or kind_of(column.type) != TEXT:
        return column
    codes, levels = factorize(column)
    if not are_numbers(levels[np.unique(codes)].tolist(), missing):
        return column
    return pa.chunked_array([pa.array(numbers(column, FLOAT64, missing), from_pandas=True)])


def _mask_missing_codes(
    codes: np.ndarray, levels: np.ndarray, missing: Collection[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Set the codes of texts that stand for missing values to -1."""
    lost = [i for i, level in enumerate(levels) if level in missing]
    return np.where(np.isin(codes, lost), np.int32(-1), codes) if lost else codes, levels


def _kind(column: Any, dtype: str) -> str:
    """A column's kind; whether whole numbers are too large for floats takes a pass over them."""
    kind = kind_of(column.type)
    if kind in (NUMBER, TEXT) and column.null_count == len(column):
        return EMPTY
    if kind != NUMBER or not is_whole(dtype) or column.null_count:
        return kind
    import pyarrow.compute as pc  # a tenth of a second that most rows do without

    values = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    ends = pc.min_max(values).as_py()
    return WHOLE if max(ends["max"], -ends["min"]) > EXACT else NUMBER


def _floats(column: Any, dtype: np.dtype[Any]) -> np.ndarray:
    if kind_of(column.type) != NUMBER:
        return np.full(len(column), np.nan, dtype)
    return numbers(column, dtype)


def row_major_matrix(columns: Sequence[Any], rows: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Arrow columns as one C-ordered matrix."""
    return stack_columns([_floats(column, dtype) for column in columns], rows, dtype)


def stack_columns(columns: Sequence[np.ndarray], rows: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Number columns as one C-ordered matrix, filled by blocks of rows that stay in the cache."""
    X = np.empty((rows, len(columns)), dtype)
    step = block_rows(len(columns), dtype.itemsize)
    for at in range(0, rows, step):
        for j, column in enumerate(columns):
            X[at : at + step, j] = column[at : at + step]
    return X


def as_table(shard: ArrayShard) -> TableShard:
    """A shard of number columns as a table, where the schema has text or large integers."""
    own = shard.layout()
    columns = {k: shard.X[:, j] for j, k in enumerate(own.schema().names or own.names)}
    targets = {"y": shard.y, "w": shard.w, "qid": shard.qid}
    return TableShard(name=shard.name, numbers=columns, codes={}, levels={}, **targets, own=own)

"""CSV files: which type each column has over all of its rows, and reading in a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc

from talkoot.data.columns import EMPTY, NUMBER, TEXT, kind_of
from talkoot.data.paths import open_file, stamp

Types = Mapping[str, pa.DataType]

# What stands for a missing value: as in pandas.read_csv, so that answers are the same.
MISSING = ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"]
MISSING += ["<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"]
WRONG = re.compile(r"In CSV column #(\d+): .*conversion error to [^:]+: invalid value")


@contextmanager
def opened(path: str, columns: Sequence[str], types: Types) -> Iterator[Any]:
    """A streaming reader of some columns (all of them for none), with the types that are known."""
    between = "\t" if ".tsv" in path.lower() else ","
    reader = pc.open_csv(
        open_file(path),
        read_options=pc.ReadOptions(block_size=1 << 20, use_threads=False),
        parse_options=pc.ParseOptions(delimiter=between, newlines_in_values=True),
        convert_options=pc.ConvertOptions(
            column_types=dict(types),
            include_columns=list(columns) or None,
            strings_can_be_null=True,
            null_values=MISSING,
        ),
    )
    with closing(reader):
        yield reader


def settled(path: str, features: tuple[str, ...], target: str | None) -> Types:
    """The types of columns that hold in every row of a file.

    A process reads a file through for this once, as long as the file stays the same.

    Args:
        path: the file.
        features: columns whose numbers become floats.
        target: a column whose integers stay integers while all of its values are.
    """
    return _settled(path, features, target, stamp(path))


@lru_cache(maxsize=256)
def _settled(path: str, features: tuple[str, ...], target: str | None, version: str) -> Types:
    del version
    columns = [*features] if target is None else [*features, target]
    with opened(path, (), {}) as reader:
        names = reader.schema.names
        types = {k: _start(reader.schema.field(k).type, k == target) for k in columns}
    while True:
        try:
            with opened(path, columns, types) as reader:
                seen = dict.fromkeys(columns, False)
                for batch in reader:
                    for k in (k for k in columns if not seen[k]):
                        seen[k] = batch.column(k).null_count < len(batch)
            break
        except pa.ArrowInvalid as error:
            wrong = WRONG.search(str(error))
            if wrong is None or names[int(wrong[1])] not in types:
                raise
            name = names[int(wrong[1])]
            types[name] = _wider(types[name])
    return {k: kind if seen[k] else pa.null() for k, kind in types.items()}


def reading_types(path: str, kinds: Mapping[str, str]) -> dict[str, Any]:
    """Types to read columns as, once their kinds over all rows are settled."""
    with opened(path, (), {}) as reader:
        first = {k: reader.schema.field(k).type for k in kinds}
    return {k: pa.string() if kind == TEXT else _float(first[k]) for k, kind in kinds.items()}


def _start(kind: pa.DataType, target: bool) -> pa.DataType:
    """The narrowest type to try: integers only for targets, since features become floats anyway."""
    if kind_of(kind) == EMPTY:
        return pa.int64() if target else pa.float64()
    return kind if target else _float(kind)


def _float(kind: pa.DataType) -> pa.DataType:
    return pa.float64() if kind_of(kind) in (NUMBER, EMPTY) and kind != pa.bool_() else kind


def _wider(kind: pa.DataType) -> pa.DataType:
    return pa.float64() if kind == pa.int64() else pa.string()

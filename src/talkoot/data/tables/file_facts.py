"""Facts about the columns of a file, as cheaply as its format allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from talkoot.data.paths import cached_by_file, format_of, open_file
from talkoot.data.tables import csv_files as csvs
from talkoot.data.tables import csv_types
from talkoot.data.tables.columns import TEXT, factorize
from talkoot.data.tables.facts import Facts
from talkoot.data.tables.reading import Part, batches, parquet, read, reading, schema_of
from talkoot.data.tables.strays import are_numbers


def file_facts(part: Part, columns: Iterable[str]) -> dict[str, Facts]:
    """Facts about columns over all rows of a part's file; cached while the file is unchanged.

    Raises:
        DataError: the file cannot be read.
    """
    folders = dict(part.folders)
    inside = tuple(name for name in columns if name not in folders)
    with reading(part.path):
        if format_of(part.path) == "csv":
            found = csv_types.column_facts(part.path, inside, part.form)
        else:
            found = dict(_typed_facts(part.path, inside))
            texts = [k for k, facts in found.items() if part.form.missing and facts.kind == TEXT]
            found |= {k: Facts(type=pa.float64(), nulls=True) for k in texts if _holds_numbers(part, k)}
    values = {name: value for name, value in folders.items() if name in columns}
    return found | {k: Facts(type=v.type, nulls=not v.is_valid, known=v.is_valid) for k, v in values.items()}


def _holds_numbers(part: Part, column: str) -> bool:
    """Whether a text column holds only numbers and texts for missing values, and some of the latter."""
    seen: set[str | None] = set()
    for batch in read(Part(part.path), [column], 1 << 16):
        codes, levels = factorize(batch.column(column))
        seen.update(levels[np.unique(codes)].tolist())
    return are_numbers(seen, part.form.missing)


def left_out(part: Part) -> dict[str, str]:
    """Columns that only name or number rows, with the reason; features only where a role names them.

    Raises:
        DataError: the file cannot be read.
    """
    if format_of(part.path) == "csv":
        with reading(part.path):
            head = csvs.header(part.path, part.form)
            if head.nameless and csv_types.numbers_rows(part.path, head.names[0], part.form):
                return {head.names[0]: "has no name and numbers the rows"}
        return {}
    return index_of(_schema(part.path))


def index_of(schema: pa.Schema) -> dict[str, str]:
    """The columns of an Arrow schema that were the index of a pandas frame, with the reason."""
    known = (schema.pandas_metadata or {}).get("index_columns", ())
    return {k: "is the index that pandas wrote" for k in known if isinstance(k, str) and k in schema.names}


def stored_dtypes(schema: pa.Schema) -> dict[str, str]:
    """The dtypes that pandas stored in an Arrow schema, by column."""
    known = (schema.pandas_metadata or {}).get("columns", ())
    return {str(column.get("field_name") or column["name"]): column["numpy_type"] for column in known}


@cached_by_file
def _schema(path: str) -> pa.Schema:
    return schema_of(Part(path))


@cached_by_file
def _typed_facts(path: str, columns: tuple[str, ...]) -> Mapping[str, Facts]:
    """Facts about a file with typed columns, from its statistics where it has them, else from its rows."""
    schema = _schema(path)
    types, stored = dict(zip(schema.names, schema.types, strict=True)), stored_dtypes(schema)
    wanted = {name: types[name] for name in columns if _needs_facts(types[name])}
    found = _facts_from_statistics(path, wanted) if format_of(path) == "parquet" else {}
    found |= _facts_from_rows(path, {name: kind for name, kind in wanted.items() if name not in found})
    return {
        name: replace(found.get(name, Facts(type=types[name])), stored=stored.get(name, ""))
        for name in columns
    }


def _needs_facts(kind: pa.DataType) -> bool:
    """Whether the dtype in pandas or the kind depends on missing values or on the size of numbers."""
    plain = (pa.bool_(), pa.string(), pa.large_string(), pa.string_view())
    return kind in plain or bool(pa.types.is_integer(kind) or pa.types.is_dictionary(kind))


def _facts_from_statistics(path: str, types: Mapping[str, pa.DataType]) -> dict[str, Facts]:
    """Facts from the statistics of a Parquet file, for columns that have them."""
    found = dict[str, Facts]()
    with parquet(open_file(path)) as file:
        meta = file.metadata
        places = {file.schema.column(j).path: j for j in range(meta.num_columns)}
        for name, kind in types.items():
            if name not in places:
                continue
            stats = [meta.row_group(i).column(places[name]).statistics for i in range(meta.num_row_groups)]
            if all(s is not None and s.has_null_count for s in stats):
                facts = _from_statistics(stats, kind)
                if facts is not None:
                    found[name] = facts
    return found


def _from_statistics(stats: list[Any], kind: pa.DataType) -> Facts | None:
    known = [s for s in stats if s.num_values]
    whole = pa.types.is_integer(kind)
    if whole and not all(s.has_min_max for s in known):
        return None
    return Facts(
        type=kind,
        nulls=any(s.null_count for s in stats),
        known=bool(known),
        low=min((s.min for s in known), default=0) if whole else 0,
        high=max((s.max for s in known), default=0) if whole else 0,
    )


def _facts_from_rows(path: str, types: Mapping[str, pa.DataType]) -> dict[str, Facts]:
    """Facts from one pass over the rows."""
    import pyarrow.compute as pc  # a tenth of a second that most rows do without

    if not types:
        return {}
    nulls, known = dict.fromkeys(types, False), dict.fromkeys(types, False)
    ends: dict[str, tuple[int, int]] = dict.fromkeys(types, (0, 0))
    rows = batches(path) if format_of(path) != "parquet" else read(Part(path), list(types), 1 << 16)
    for batch in rows:
        for name, kind in types.items():
            column = batch.column(name)
            nulls[name] |= column.null_count > 0
            known[name] |= column.null_count < len(column)
            if pa.types.is_integer(kind) and column.null_count < len(column):
                at = pc.min_max(column).as_py()
                ends[name] = min(ends[name][0], at["min"]), max(ends[name][1], at["max"])
    return {
        k: Facts(type=v, nulls=nulls[k], known=known[k], low=ends[k][0], high=ends[k][1])
        for k, v in types.items()
    }

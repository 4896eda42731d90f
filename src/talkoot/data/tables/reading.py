"""Files as streams of record batches of a few MiB."""

from __future__ import annotations

import lzma
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, final

import pyarrow as pa

from talkoot.core.errors import DataError
from talkoot.data.paths import format_of, open_file
from talkoot.data.tables import csv_files as csvs
from talkoot.data.tables.strays import cure_of

WRONG = re.compile(
    r"In CSV column #(\d+):(?: Row #(\d+):)? CSV conversion error to [^:]+: invalid value '(.*)'", re.S
)
BUFFER = 1 << 18  # bytes read at a time from each column of a Parquet file, whatever its row groups


@final
@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a file."""

    path: str  # local path or fsspec address
    start: int = 0  # the first row
    stop: int | None = None  # the row after the last; None for the end
    form: csvs.CsvFormat = csvs.PLAIN  # how to read it if it is a CSV file
    folders: tuple[tuple[str, Any], ...] = ()  # columns from the names of its folders: an Arrow scalar each


def read(part: Part, columns: Sequence[str], rows: int, types: csvs.Types | None = None) -> Iterator[Any]:
    """Some columns of some rows as record batches of about `rows` rows; other columns are not decoded.

    Columns of a CSV file without an Arrow type in `types` are inferred.

    Raises:
        DataError: the file cannot be read.
    """
    folders = dict(part.folders)
    inside = [name for name in columns if name not in folders]
    if folders and not inside:  # read one column to count the rows
        inside = [next(name for name in fields(part) if name not in folders)]
    for batch in _read(part, inside, rows, types or {}):
        yield _with_folders(batch, columns, folders) if folders else batch


def _read(part: Part, columns: Sequence[str], rows: int, types: csvs.Types) -> Iterator[Any]:
    with reading(part.path):
        match format_of(part.path):
            case "parquet":
                yield from _parquet(part, columns, rows)
            case "csv":
                known = {name: kind for name, kind in types.items() if name in columns}
                with _no_strays(part), csvs.open_csv(part.path, columns, known, part.form) as reader:
                    yield from _window(reader, part.start, part.stop)
            case _:
                yield from _window(_arrow(part.path, columns), part.start, part.stop)


@contextmanager
def _no_strays(part: Part) -> Iterator[None]:
    """Turn conversion errors of a CSV file into a `DataError` with the value and its place."""
    try:
        yield
    except pa.ArrowInvalid as error:
        found = WRONG.search(str(error))
        if found is None:
            raise
        column, row, value = int(found[1]), found[2], found[3]
        name = csvs.header(part.path, part.form).names[column]
        where = f"in row {row} of {part.path}" if row else f"in {part.path}"
        raise DataError(f"{value!r} {where} is no number", column=name, cure=cure_of(value)) from None


def _with_folders(batch: Any, columns: Sequence[str], folders: Mapping[str, Any]) -> Any:
    arrays = [
        pa.repeat(folders[name], len(batch)) if name in folders else batch.column(name) for name in columns
    ]
    return pa.record_batch(arrays, names=list(columns))


def fields(part: Part) -> dict[str, pa.DataType]:
    """The columns of a file and their types, from its header and its folders; those of folders come last.

    Raises:
        DataError: the file cannot be read, or two columns have one name.
    """
    schema = schema_of(part)
    double = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if double:
        raise DataError(
            f"two columns of {part.path} have this name", column=double[0], cure="Rename one of them."
        )
    inside = dict(zip(schema.names, schema.types, strict=True))
    folders = {name: value.type for name, value in part.folders}
    return {name: kind for name, kind in inside.items() if name not in folders} | folders


def schema_of(part: Part) -> pa.Schema:
    """The Arrow schema of a file, with the metadata of pandas.

    Raises:
        DataError: the file cannot be read.
    """
    with reading(part.path):
        match format_of(part.path):
            case "parquet":
                with parquet(open_file(part.path)) as file:
                    return file.schema_arrow
            case "csv":
                return csvs.schema(part.path, part.form)
            case _:
                return next(batches(part.path)).schema


def groups(part: Part) -> list[int]:
    """Rows of each row group or record batch of a file.

    Raises:
        DataError: the file cannot be read.
    """
    with reading(part.path):
        match format_of(part.path):
            case "parquet":
                with parquet(open_file(part.path)) as file:
                    meta = file.metadata
                    return [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
            case "csv":
                first = csvs.header(part.path, part.form).names[0]
                whole = Part(part.path, form=part.form)
                return [sum(len(batch) for batch in read(whole, [first], 1, {first: pa.string()}))]
            case _:
                return [len(batch) for batch in batches(part.path)]


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn errors of reading a file into a `DataError` that names it."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path} is not there", cure="Look at the path, as this node sees it.") from None
    except KeyError as error:
        raise DataError(f"{path} has no column {error}", cure="Give all files the same columns.") from None
    except (OSError, pa.ArrowException, ValueError, EOFError, zlib.error, lzma.LZMAError) as error:
        why = " ".join(str(error).split()).removesuffix(".")
        cure = "It may be cut off, or still being written: write it again, or leave it out."
        if "CSV parse error" in why or "CSV conversion error" in why:
            cure = "Look at that row: a quote, a separator or a value is not where it should be."
        raise DataError(f"{path} cannot be read: {why}", cure=cure) from None


def parquet(raw: Any, **options: Any) -> Any:
    """An open Parquet file; `pyarrow.parquet` is imported at the first call."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(raw, **options)


def _parquet(part: Part, columns: Sequence[str], rows: int) -> Iterator[Any]:
    with parquet(
        open_file(part.path), pre_buffer=False, buffer_size=BUFFER, page_checksum_verification=True
    ) as file:
        meta = file.metadata
        stop = meta.num_rows if part.stop is None else part.stop
        ends = list(accumulate(meta.row_group(i).num_rows for i in range(meta.num_row_groups)))
        begins = [0, *ends[:-1]]
        chosen = [i for i, end in enumerate(ends) if begins[i] < stop and end > part.start]
        if not chosen:
            return
        skipped = begins[chosen[0]]
        found = file.iter_batches(
            batch_size=rows, row_groups=chosen, columns=list(columns), use_threads=False
        )
        for batch in _window(found, part.start - skipped, stop - skipped):
            yield batch.select(list(columns))


def _arrow(path: str, columns: Sequence[str]) -> Iterator[Any]:
    for batch in batches(path):
        yield batch.select(list(columns))


@contextmanager
def open_arrow(path: str) -> Iterator[Any]:
    """A reader of an Arrow file, which has `get_batch`, or of an Arrow stream."""
    source = open_file(path)
    with pa.memory_map(source) if isinstance(source, str) else source as raw:
        begin = raw.read(6)
        raw.seek(0)
        yield pa.ipc.open_file(raw) if begin == b"ARROW1" else pa.ipc.open_stream(raw)


def batches(path: str) -> Iterator[Any]:
    """The batches of an Arrow file or stream; at least one, so that its schema is known."""
    with open_arrow(path) as file:
        numbered = hasattr(file, "get_batch")
        found = map(file.get_batch, range(file.num_record_batches)) if numbered else iter(file)
        first = next(found, None)
        yield pa.RecordBatch.from_pylist([], schema=file.schema) if first is None else first
        yield from found


def _window(stream: Any, start: int, stop: int | None) -> Iterator[Any]:
    """The rows `start` to `stop` of a stream of batches."""
    at = 0
    for batch in stream:
        begin, end = max(start - at, 0), len(batch) if stop is None else min(stop - at, len(batch))
        at += len(batch)
        if begin < end:
            yield batch if (begin, end) == (0, len(batch)) else batch.slice(begin, end - begin)
        if stop is not None and at >= stop:
            return

"""Files as streams of record batches that never hold more than a few MiB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, final

import pyarrow as pa

from talkoot.core.errors import DataError
from talkoot.data import csvs
from talkoot.data.paths import format_of, open_file

BUFFER = 1 << 18  # bytes read at a time from each column of a Parquet file, whatever its row groups


@final
@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a file.

    Args:
        path: local path or fsspec address.
        start: the first row.
        stop: the row after the last; None to the end.
    """

    path: str
    start: int = 0
    stop: int | None = None


def read(part: Part, columns: Sequence[str], rows: int, types: csvs.Types | None = None) -> Iterator[Any]:
    """Some columns of some rows as record batches.

    Args:
        part: which rows of which file.
        columns: the columns to read; the others are not decoded.
        rows: rows of a batch, about.
        types: Arrow types for columns of a CSV file; those that are absent are inferred.

    Raises:
        DataError: the file cannot be read; it is named.
    """
    with reading(part.path):
        match format_of(part.path):
            case "parquet":
                yield from _parquet(part, columns, rows)
            case "csv":
                with csvs.opened(part.path, columns, types or {}) as reader:
                    yield from _window(reader, part.start, part.stop)
            case _:
                yield from _window(_arrow(part.path, columns), part.start, part.stop)


def fields(path: str) -> dict[str, pa.DataType]:
    """The columns of a file and their types, from its first bytes.

    Raises:
        DataError: the file cannot be read, or two columns have one name.
    """
    with reading(path):
        match format_of(path):
            case "parquet":
                with parquet(open_file(path)) as file:
                    schema = file.schema_arrow
            case "csv":
                with csvs.opened(path, (), {}) as reader:
                    schema = reader.schema
            case _:
                schema = next(_batches(path)).schema
    double = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if double:
        raise DataError(f"two columns of {path} have this name", column=double[0], cure="Rename one of them.")
    return dict(zip(schema.names, schema.types, strict=True))


def groups(path: str) -> list[int]:
    """Rows of each row group or record batch of a file: where it can be cut at no cost.

    Raises:
        DataError: the file cannot be read.
    """
    with reading(path):
        match format_of(path):
            case "parquet":
                with parquet(open_file(path)) as file:
                    meta = file.metadata
                    return [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
            case "csv":
                first = next(iter(fields(path)))
                return [sum(len(batch) for batch in read(Part(path), [first], 1, {first: pa.string()}))]
            case _:
                return [len(batch) for batch in _batches(path)]


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Errors of a file as a `DataError` that names it."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path} is not there", cure="Look at the path, as this node sees it.") from None
    except KeyError as error:
        raise DataError(f"{path} has no column {error}", cure="Give all files the same columns.") from None
    except (OSError, pa.ArrowException, ValueError, EOFError) as error:
        why = " ".join(str(error).split()).removesuffix(".")
        cure = "It may be cut off, or still being written: write it again, or leave it out."
        raise DataError(f"{path} cannot be read: {why}", cure=cure) from None


def parquet(raw: Any, **options: Any) -> Any:
    """A Parquet file that is open; what reads it is imported with the first one."""
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
        batches = file.iter_batches(
            batch_size=rows, row_groups=chosen, columns=list(columns), use_threads=False
        )
        for batch in _window(batches, part.start - skipped, stop - skipped):
            yield batch.select(list(columns))


def _arrow(path: str, columns: Sequence[str]) -> Iterator[Any]:
    for batch in _batches(path):
        yield batch.select(list(columns))


def _batches(path: str) -> Iterator[Any]:
    """The batches of an Arrow file or stream; at least one, so that its schema is known."""
    source = open_file(path)
    with pa.memory_map(source) if isinstance(source, str) else source as raw:
        begin = raw.read(6)
        raw.seek(0)
        if begin == b"ARROW1":
            file = pa.ipc.open_file(raw)
            found = (file.get_batch(i) for i in range(file.num_record_batches))
        else:
            file = pa.ipc.open_stream(raw)
            found = iter(file)
        first = next(found, None)
        yield pa.RecordBatch.from_pylist([], schema=file.schema) if first is None else first
        yield from found


def _window(batches: Any, start: int, stop: int | None) -> Iterator[Any]:
    """Rows start to stop of a stream of batches."""
    at = 0
    for batch in batches:
        begin, end = max(start - at, 0), len(batch) if stop is None else min(stop - at, len(batch))
        at += len(batch)
        if begin < end:
            yield batch if (begin, end) == (0, len(batch)) else batch.slice(begin, end - begin)
        if stop is not None and at >= stop:
            return

"""Tables as bytes in a state, and times as whole microseconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from talkoot.core.errors import DataError
from talkoot.learners.online.state import State

SECOND = 1_000_000


def write(state: State, name: str, table: pa.Table | None) -> None:
    """Put a table into a state as Arrow IPC; nothing where it has no rows."""
    if table is None or not table.num_rows:
        state[name] = np.zeros(0, np.uint8)
        return
    sink = pa.BufferOutputStream()
    table = table.combine_chunks().unify_dictionaries()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    state[name] = np.frombuffer(sink.getvalue(), np.uint8).copy()


def read(state: State, name: str) -> pa.Table | None:
    """The table in a state, or None."""
    data = state[name]
    return pa.ipc.open_stream(pa.py_buffer(data)).read_all() if len(data) else None


def joined(one: pa.Table | None, other: pa.Table) -> pa.Table:
    """The rows of both.

    Raises:
        DataError: a column has another type than in the rows before.
    """
    try:
        return other if one is None else pa.concat_tables([one, other], promote_options="permissive")
    except pa.ArrowTypeError as error:
        raise DataError(
            f"rows differ from those that wait for their labels: {error}",
            cure="Convert the column where the rows come from, so that its type stays.",
        ) from error


def micros(column: pa.Array | pa.ChunkedArray, name: str) -> NDArray[np.int64]:
    """Times as microseconds, from timestamps or from numbers of seconds; -1 << 63 where there is none.

    Raises:
        DataError: the column is neither.
    """
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        whole = pc.cast(
            pc.cast(column, pa.timestamp("us", tz=getattr(column.type, "tz", None)), safe=False), "int64"
        )
    elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        seconds = pc.cast(column, pa.float64())
        seconds = pc.if_else(pc.fill_null(pc.is_finite(seconds), False), seconds, None)
        whole = pc.cast(pc.round(pc.multiply(seconds, float(SECOND))), "int64", safe=False)
    else:
        raise DataError(
            f"a time cannot be read from {column.type}",
            column=name,
            cure="Use a column of timestamps, or of seconds as numbers.",
        )
    found: NDArray[Any] = pc.fill_null(whole, np.iinfo(np.int64).min).to_numpy(zero_copy_only=False)
    return found.astype(np.int64)

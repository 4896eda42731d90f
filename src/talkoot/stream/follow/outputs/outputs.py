"""What a node writes to a sink: predictions by partition, and changes that were found; each row once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, final
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from talkoot.stream.follow.columns import Columns, Labels
from talkoot.stream.follow.rows import Label, Rows
from talkoot.stream.sinks.sink import Output, Sink

CHANGES = ".changes"  # what the name of the output of changes ends with
TYPES: Mapping[Labels, pa.DataType] = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "text": pa.string(),
}


@final
class Outputs:
    """Rows that are committed with a round and written after it; after a kill they are written again.

    So what is written is what was committed, however the round went before a kill, and the sink skips
    the rows that it has.

    Args:
        sink: where to.
        name: of the store and node, with which the names of all outputs begin.
        waiting: what was committed last: by output, the number of its first row, and its rows.
    """

    __slots__ = ("_name", "_open", "_outputs", "_sink", "_waiting")

    def __init__(self, sink: Sink, name: str, waiting: Mapping[str, Any]) -> None:
        self._sink, self._name, self._waiting = sink, name, dict(waiting)
        self._outputs: dict[str, Output] = {}
        self._open = ExitStack()

    def waiting(self, rows: Mapping[str, Sequence[pa.RecordBatch]]) -> dict[str, Any]:
        """What is to be committed of a round's rows by output, behind those that were written."""
        found: dict[str, dict[str, Any]]
        found = {name: {"row": _behind(last), "rows": 0} for name, last in self._waiting.items()}
        for name, batches in rows.items():
            out = pa.BufferOutputStream()
            with pa.ipc.new_stream(out, batches[0].schema) as stream:
                for batch in batches:
                    stream.write_batch(batch)
            data = np.frombuffer(out.getvalue(), np.uint8)
            first = found[name]["row"] if name in found else 0
            found[name] = {"row": first, "rows": sum(batch.num_rows for batch in batches), "data": data}
        return found

    def write(self, waiting: Mapping[str, Any]) -> None:
        """Write what was committed.

        Raises:
            DataError: the sink cannot be written; what it lacks is written when the store is opened again.
        """
        self._waiting = dict(waiting)
        for name, part in self._waiting.items():
            if part["rows"]:
                table = pa.ipc.open_stream(pa.py_buffer(part["data"])).read_all().combine_chunks()
                self._output(name).write(part["row"], table.to_batches()[0])

    def close(self) -> None:
        """Close all outputs."""
        self._outputs = {}
        self._open.close()

    def _output(self, name: str) -> Output:
        if name not in self._outputs:
            self._outputs[name] = self._open.enter_context(self._sink.open(self._name + name))
        return self._outputs[name]


def _behind(part: Mapping[str, Any]) -> int:
    return int(part["row"] + part["rows"])


def output_of(partition: str) -> str:
    """The end of the name of a partition's output.

    >>> output_of("clicks/eu")
    '-clicks%2Feu'
    """
    return f"-{quote(partition, safe='')}"


def predictions(
    predicted: np.ndarray, columns: Columns, labels: tuple[Label, ...], rows: Rows, batch: pa.RecordBatch
) -> dict[str, pa.Array]:
    """What was predicted for readable rows of a batch, and their ids as text."""
    found: dict[str, pa.Array] = {}
    if columns.id is not None:
        ids = batch.column(columns.id) if columns.id in batch.schema.names else pa.nulls(batch.num_rows)
        found["id"] = ids.take(pa.array(rows.at)).cast(pa.string())
    if columns.labels is None:
        return {**found, "predicted": pa.array(predicted)}
    shares = np.column_stack([1 - predicted, predicted]) if predicted.ndim == 1 else predicted
    shares = shares[:, : len(labels)]
    kind, count = TYPES[columns.labels], len(shares)
    if not labels:
        return {**found, "predicted": pa.nulls(count, kind), "probability": pa.nulls(count, pa.float64())}
    order = np.argsort(np.array(labels))
    codes = order[shares[:, order].argmax(axis=1)]
    return {
        **found,
        "predicted": pa.array([labels[code] for code in codes], kind),
        "probability": pa.array(shares[np.arange(count), codes], pa.float64()),
    }

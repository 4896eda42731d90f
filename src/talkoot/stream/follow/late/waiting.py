"""Rows of a node that were predicted and wait for their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from talkoot.core.sync import duration
from talkoot.learners.online.features import EXACT, Features
from talkoot.learners.online.state import replace_under, under
from talkoot.stream.follow.columns import is_text
from talkoot.stream.follow.learning import Learning
from talkoot.stream.follow.rows import Rows
from talkoot.stream.follow.windows import Windows, keys_over_target, over_target
from talkoot.stream.labels.labelled import Labelled
from talkoot.stream.labels.labels import Labels

PREFIX = "labels/"  # of the part of a node's state
ID, TIME = "id", "time"  # columns of the rows that wait, beside their features
PARTITION, KEY = "partition", "key "  # and, for windows over the target, where they are from and their keys
AGAIN = "a row with this id came before: it is predicted and not learned"


@final
@dataclass(slots=True, eq=False)
class Waiting:
    """Rows that wait; what becomes known of them is learned by `join`, and then by `learn`.

    Args:
        learning: the model.
        labels: how labels find their rows.
        windows: of the node's rows, if there are any.
    """

    learning: Learning
    labels: Labels
    windows: Windows | None = None
    _repeated: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not under(self.learning.state, PREFIX):
            replace_under(self.learning.state, PREFIX, self.labels.start())

    def keys_of(self, partition: str, rows: Rows, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """What windows over the target must know of rows when their labels come."""
        if self.windows is None or not over_target(self.windows.features):
            return {}
        at = pa.array(rows.at)
        by = keys_over_target(self.windows.features)
        keys = {KEY + name: batch.column(name).take(at) for name in by}
        return {PARTITION: pa.array([partition] * len(rows.at), pa.string()), **keys}

    def arrive(self, ids: pa.Array, times: Any, rows: Features, more: Mapping[str, pa.Array]) -> NDArray[Any]:
        """Predict rows; they wait from now on."""
        at = self.learning.report.predicted + np.arange(len(rows))
        predicted = self.learning.predict(rows, at)
        state = under(self.learning.state, PREFIX)
        table, last = _table(ids, times, rows, more), self.learning.last()
        found = self.labels.arrive(state, table, predicted, at, last, matures=False)
        replace_under(self.learning.state, PREFIX, state)
        self._repeated += found.repeated
        self._count()
        return predicted

    def learn(self) -> None:
        """Learn rows that have matured without a label."""
        state = under(self.learning.state, PREFIX)
        known = self.labels.mature_now(state)
        replace_under(self.learning.state, PREFIX, state)
        if len(known) and self.labels.mature is not None:
            wait = duration(self.labels.mature)
            self._learn(known, known.rows.column(TIME).to_numpy() + wait)
        self._count()

    def again(self) -> list[str]:
        """The ids of rows that came again, since this was last called."""
        found, self._repeated = self._repeated, []
        return found

    def join(self, ids: pa.Array, y: NDArray[np.float64], times: NDArray[np.float64]) -> Sequence[str]:
        """Learn rows whose labels have come at some times; returns ids that no row has."""
        state = under(self.learning.state, PREFIX)
        known = self.labels.join(state, ids, y)
        replace_under(self.learning.state, PREFIX, state)
        first = dict(zip(reversed(ids.to_pylist()), times[::-1].tolist(), strict=True))
        found = known.rows.column(ID).to_pylist() if len(known) else ()
        self._learn(known, np.array([first[name] for name in found]))
        return known.unknown

    def _learn(self, known: Labelled, arrived: NDArray[np.float64]) -> None:
        if len(known):
            self.learning.learn_late(_features(known.rows, self.learning), known)
            self._show(known, arrived)
        self._count()

    def _show(self, known: Labelled, arrived: NDArray[np.float64]) -> None:
        """Let labels that are known for the first time join the windows over the target."""
        if self.windows is None or PARTITION not in known.rows.column_names:
            return
        features, labels = self.windows.features, self.learning.labels
        values = [labels[int(code)] for code in known.y] if labels else known.y
        table = known.rows.append_column("y", pa.array(values)).append_column("arrived", pa.array(arrived))
        table = table.filter(pa.array(np.isnan(known.was)))
        for partition in table.column(PARTITION).unique().to_pylist():
            own = table.filter(pc.equal(table.column(PARTITION), partition)).combine_chunks()
            names = {TIME: features.time, "y": str(features.target), "arrived": str(features.arrives)}
            columns = {name: own.column(at) for at, name in names.items()}
            keys = [name for name in own.column_names if name.startswith(KEY)]
            columns |= {name.removeprefix(KEY): own.column(name) for name in keys}
            batches = pa.table(columns).combine_chunks().to_batches()
            for batch in batches:
                self.windows.learn(partition, batch)

    def _count(self) -> None:
        """Rows that wait, and those that will never be learned; the others are learned."""
        counts = self.labels.counts(under(self.learning.state, PREFIX))
        report = self.learning.report
        never = counts["rows"] - counts["waiting"] - report.learned
        self.learning.report = replace(report, labels=counts, unlabelled=never)


def named(rows: Rows, batch: pa.RecordBatch, name: str) -> tuple[Rows, pa.Array]:
    """The rows that have an id, and their ids as text."""
    column, why = texts_of(batch, name)
    ids = column.take(pa.array(rows.at))
    missing = ids.is_null().to_numpy(zero_copy_only=False)
    return (rows.without(missing, why), ids.drop_null()) if missing.any() else (rows, ids)


def texts_of(batch: pa.RecordBatch, name: str) -> tuple[pa.Array, str]:
    """The ids of a batch as text, null where there is none, and why."""
    at = batch.schema.get_field_index(name)
    column = pa.nulls(batch.num_rows) if at < 0 else batch.column(at)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    why = f"column {name!r} holds no id"
    if pa.types.is_floating(column.type):
        column = _whole(column)
    if not (is_text(column.type) or pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
        why = f"column {name!r} holds {column.type}, and an id is text or a whole number"
        column = pa.nulls(batch.num_rows)
    return column.cast(pa.string()), why


def _whole(column: pa.Array) -> pa.Array:
    """Numbers as whole numbers, as JSON has only floats; null where they are not whole."""
    numbers = column.to_numpy(zero_copy_only=False)
    whole = np.isfinite(numbers) & (np.abs(numbers) <= EXACT) & (numbers == np.floor(numbers))
    return pa.array(np.where(whole, numbers, 0).astype(np.int64), mask=~whole)


def _table(ids: pa.Array, times: Any, rows: Features, more: Mapping[str, pa.Array]) -> pa.RecordBatch:
    """Rows as a batch of few columns, however many features there are."""
    columns = {ID: ids, TIME: pa.array(times), **more}
    for name, matrix in (("numbers", rows.numbers), ("categories", rows.categories)):
        if matrix.shape[1]:
            columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])
    return pa.RecordBatch.from_pydict(columns)


def _features(table: pa.Table, learning: Learning) -> Features:
    """The features of rows that waited."""
    layout = learning.layout
    return Features(
        _matrix(table, "numbers", len(layout.numbers), np.float64),
        _matrix(table, "categories", len(layout.categories), np.uint64),
    )


def _matrix(table: pa.Table, name: str, width: int, kind: Any) -> NDArray[Any]:
    if not width:
        return np.empty((table.num_rows, 0), kind)
    flat = table.column(name).combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(flat.reshape(-1, width))

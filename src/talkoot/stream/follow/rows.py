"""The rows of a batch that can be read, by what the columns of the stream are, and why the others cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from talkoot.learners.online.features import inexact
from talkoot.stream.follow.columns import Columns, Labels, is_number, is_text, is_time

Label = bool | int | float | str


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """The readable rows of a batch.

    Args:
        batch: their features.
        at: their positions in the batch, (rows,) intp.
        y: a target that is a number, (rows,) float64, NaN where it is not known; or, for classes, for each
            row the index of its label in `labels`, -1 where it is not known, (rows,) intp.
        labels: the labels of classes in the batch.
        times: when each row happened, (rows,) float64: numbers as they are, dates in seconds since 1970.
        rejected: why other rows cannot be read, by their position.
        notes: what was read in another way than the first rows of the stream, and in how many rows.
    """

    batch: pa.RecordBatch
    at: np.ndarray
    y: np.ndarray | None = None
    labels: tuple[Label, ...] = ()
    times: np.ndarray | None = None
    rejected: Mapping[int, str] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)

    def without(self, rows: np.ndarray, reason: str) -> Rows:
        """The same without some of the readable rows, (rows,) bool, which are rejected."""
        stays = ~rows
        more = dict.fromkeys(map(int, self.at[rows]), reason)
        return replace(
            self,
            batch=self.batch.filter(pa.array(stays)),
            at=self.at[stays],
            y=None if self.y is None else self.y[stays],
            times=None if self.times is None else self.times[stays],
            rejected=dict(sorted({**self.rejected, **more}.items())),
        )

    def with_columns(self, columns: Mapping[str, pa.Array]) -> Rows:
        """The same with more features."""
        batch = self.batch
        for name, column in columns.items():
            batch = batch.append_column(name, column)
        return replace(self, batch=batch)


def readable(batch: pa.RecordBatch, columns: Columns, only: tuple[Label, ...] | None = None) -> Rows:
    """The readable rows of a batch.

    Args:
        batch: the rows.
        columns: what the columns of the stream are.
        only: the labels that can be read, where there can be no other.
    """
    reader = _Batch(batch, columns, only)
    numbers = {name: reader.read(name, _features) for name in columns.numbers}
    texts = {name: reader.read(name, _texts) for name in columns.categories}
    y, labels = reader.target()
    times = None if columns.time is None else reader.times(columns.time)
    reader.note_extra()
    features = pa.RecordBatch.from_pydict({**numbers, **texts})
    at = np.arange(batch.num_rows)
    rows = Rows(batch=features, at=at, y=y, labels=labels, times=times, notes=reader.notes)
    if not reader.rejected:
        return rows
    bad = np.isin(at, list(reader.rejected))
    return replace(rows.without(bad, ""), rejected=dict(sorted(reader.rejected.items())))


@final
class _Batch:
    """A batch, and what is found out about its rows on the way."""

    def __init__(self, batch: pa.RecordBatch, columns: Columns, only: tuple[Label, ...] | None) -> None:
        self.batch, self.columns, self.only = batch, columns, only
        self.rejected: dict[int, str] = {}
        self.notes: dict[str, int] = {}

    def reject(self, rows: Any, reason: str | Callable[[int], str]) -> None:
        """Give a reason for rows that have none yet."""
        for row in map(int, rows):
            self.rejected.setdefault(row, reason if isinstance(reason, str) else reason(row))

    def read(self, name: str, how: Callable[[_Batch, str, pa.Array], pa.Array]) -> pa.Array:
        """A column; without it no row can be read."""
        index = self.batch.schema.get_field_index(name)
        if index >= 0:
            return how(self, name, self.batch.column(index))
        self.reject(range(self.batch.num_rows), f"column {name!r} is missing")
        return pa.nulls(self.batch.num_rows, pa.string() if how is _texts else pa.float64())

    def target(self) -> tuple[np.ndarray | None, tuple[Label, ...]]:
        """(y, labels); a target that is not there, or is null, is not known."""
        name = self.columns.target
        if name is None:
            return None, ()
        if self.columns.labels is None:
            found = self.read(name, _numbers)
            return found.cast(pa.float64()).to_numpy(zero_copy_only=False), ()
        return self._labels(self.read(name, lambda _batch, _name, array: array), self.columns.labels)

    def _labels(self, array: pa.Array, kind: Labels) -> tuple[np.ndarray, tuple[Label, ...]]:
        array = array.cast(pa.string()) if pa.types.is_string_view(array.type) else array
        encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
        indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.intp)
        labels: list[Label] = []
        codes = np.full(len(encoded.dictionary) + 1, -1, np.intp)  # the last one is for nulls
        for index, value in enumerate(encoded.dictionary.to_pylist()):
            label = label_of(value, kind)
            if label is None:
                self._reject_label(indices == index, f"a label that is not of type {kind}")
            elif label == label and self.only is not None and label not in self.only:
                known = " and ".join(map(repr, self.only))
                self._reject_label(indices == index, f"a third label, and the model tells {known} apart")
            elif label == label:  # a label that is not a number is none
                if label not in labels:
                    labels.append(label)
                codes[index] = labels.index(label)
        return codes[indices], tuple(labels)

    def _reject_label(self, rows: np.ndarray, what: str) -> None:
        self.reject(np.flatnonzero(rows), f"column {self.columns.target!r} holds {what}")

    def times(self, name: str) -> np.ndarray:
        """When rows happened; rows without a time cannot be read."""
        found = np.asarray(self.read(name, _times).to_numpy(zero_copy_only=False), dtype=np.float64)
        self.reject(np.flatnonzero(~np.isfinite(found)), f"column {name!r} holds no time")
        return found

    def note_extra(self) -> None:
        """Note columns that the first rows did not have."""
        for name in self.batch.schema.names:
            if name not in self.columns.known:
                self.notes[f"column {name!r} is not among those of the first rows, and is not read"] = (
                    self.batch.num_rows
                )


def label_of(value: Any, kind: Labels) -> Label | None:
    """A label in the type of all labels; None if it is none.

    >>> label_of(1.0, "int"), label_of("1", "int"), label_of(1.5, "int"), label_of(1, "bool")
    (1, 1, None, True)
    """
    try:
        match kind:
            case "text":
                return value if isinstance(value, str) else None
            case "bool":
                return bool(value) if value in (0, 1) else None
            case "int":
                number = int(value)
                return number if isinstance(value, str) or number == value else None
            case "float":
                return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _numbers(batch: _Batch, name: str, array: pa.Array) -> pa.Array:
    if is_text(array.type):
        return _parsed(batch, name, array, _number, "a number")
    if pa.types.is_null(array.type) or pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    if not is_number(array.type):
        batch.reject(range(len(array)), f"column {name!r} holds {array.type}, and numbers before")
        return pa.nulls(len(array), pa.float64())
    if pa.types.is_floating(array.type):
        infinite = pc.sum(pc.is_inf(array)).as_py()
        if infinite:
            batch.notes[f"column {name!r} is infinite, and is read as missing"] = infinite
    return array


def _features(batch: _Batch, name: str, array: pa.Array) -> pa.Array:
    beyond = inexact(array)
    if beyond.any():
        batch.reject(np.flatnonzero(beyond), f"column {name!r} holds a whole number beyond 2**53")
        array = pc.if_else(pa.array(beyond), pa.scalar(None, array.type), array)
    return _numbers(batch, name, array)


def _texts(batch: _Batch, name: str, array: pa.Array) -> pa.Array:
    if is_text(array.type):
        return array
    if pa.types.is_integer(array.type) or pa.types.is_boolean(array.type) or pa.types.is_null(array.type):
        if not pa.types.is_null(array.type):
            batch.notes[f"column {name!r} holds {array.type} in place of text, and is read as text"] = len(
                array
            )
        return array.cast(pa.string())
    batch.reject(range(len(array)), f"column {name!r} holds {array.type}, and text before")
    return pa.nulls(len(array), pa.string())


def _times(batch: _Batch, name: str, array: pa.Array) -> pa.Array:
    if batch.columns.clock == "number":
        return _numbers(batch, name, array).cast(pa.float64())
    if is_text(array.type):
        return _parsed(batch, name, array, _seconds, "a date")
    if not is_time(array.type):
        batch.reject(range(len(array)), f"column {name!r} holds {array.type}, and dates before")
        return pa.nulls(len(array), pa.float64())
    zone = getattr(array.type, "tz", None)
    ticks = array.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
    return pc.divide(ticks.cast(pa.float64(), safe=False), 1e6)


def _parsed(batch: _Batch, name: str, array: pa.Array, parse: Callable[[str], float], what: str) -> pa.Array:
    """The numbers that texts stand for; rows of other texts are rejected."""
    found: list[float | None] = []
    for row, text in enumerate(array.to_pylist()):
        try:
            found.append(None if text is None else parse(text))
        except (ValueError, OverflowError):
            found.append(None)
            batch.reject([row], f"column {name!r} holds text that is not {what}")
    return pa.array(found, pa.float64())


def _number(text: str) -> float:
    """The number that a text stands for."""
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(text)
    return number


def _seconds(text: str) -> float:
    """Seconds since 1970 of a date as text; without a zone it is taken as UTC."""
    when = datetime.fromisoformat(text.strip())
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()

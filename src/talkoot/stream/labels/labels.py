"""Rows that wait for their labels, in a bounded table inside the state."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from talkoot.core.errors import DataError, PlanError
from talkoot.core.sync import duration
from talkoot.learners.online.state import State
from talkoot.stream.labels.labelled import OWN, Labelled, lists, texts
from talkoot.stream.labels.tables import SECOND, joined, micros, read, write

NEVER, ALWAYS = np.iinfo(np.int64).min, np.iinfo(np.int64).max
CENSORED = np.inf  # in place of the label of a row that matured without one
COUNTS = (
    *("rows", "labels", "matured", "censored", "overflowed"),
    *("unknown", "corrected", "repeated", "backwards", "late"),
)


@final
@dataclass(frozen=True, slots=True)
class Labels:
    """How labels find their rows.

    A row waits until its label comes, or until the stream's clock is `mature` past the row's arrival: then it
    counts as `negative`, or is left out (censored) where that is None. A label that comes again with another
    value, or after its row has matured, is a correction. A row leaves when `pending` further rows have come.

    The clock is the highest time that two rows in a row have reached: it never goes backwards, and one row
    with a wrong time does not move it. A row that comes late waits as long as any other.

    Args:
        source: for `tk.follow`, the stream of labels: a source, a table, or the path of a log or folder.
        id: the column that rows and labels share.
        time: the column of times: timestamps, or seconds as numbers. Without it the clock counts rows.
        arrives: for `tk.follow`, the column of the stream of labels that tells when each became known.
        mature: seconds (rows, without `time`), or text such as "30d", after which no label will come; None:
            as long as there is room.
        negative: the label of a row that matured (outside of `tk.follow` its code); None: it is censored.
        pending: how many further rows may come before a row leaves.

    >>> import talkoot as tk
    >>> labels = tk.Labels(id="payment", mature=2)
    >>> state = labels.start()
    >>> rows = pa.record_batch({"payment": ["a", "b", "c"], "amount": [3.0, 5.0, 4.0]})
    >>> matured = labels.arrive(state, rows, np.array([0.1, 0.8, 0.3]), np.arange(3))
    >>> matured.positions.tolist(), matured.y.tolist()
    ([0], [0.0])
    >>> known = labels.join(state, ["b", "z"], np.array([1.0, 1.0]))
    >>> known.y.tolist(), known.predictions.tolist(), known.unknown
    ([1.0], [0.8], ('z',))
    >>> corrected = labels.join(state, ["a"], np.array([1.0]))
    >>> corrected.y.tolist(), corrected.was.tolist()
    ([1.0], [0.0])
    """

    source: Any = field(default=None, repr=False, compare=False)
    _: KW_ONLY
    id: str
    time: str | None = None
    arrives: str | None = None
    mature: float | str | None = None
    negative: bool | int | float | str | None = 0
    pending: int = 100_000

    def __post_init__(self) -> None:
        if self.pending < 1 or (self.mature is not None and not duration(self.mature) > 0):
            raise PlanError("Labels(pending=) and Labels(mature=) must be above 0")

    def start(self) -> State:
        """Nothing waits.

        Raises:
            PlanError: the label of rows that mature is no code.
        """
        if isinstance(self.negative, str):
            raise PlanError(f"negative={self.negative!r} is no code of a class", cure="Write it as a number.")
        return {
            "pending": np.zeros(0, np.uint8),  # Arrow IPC
            "clock": np.array([NEVER, NEVER]),  # and the time of the last row
            "counts": np.zeros(len(COUNTS), np.int64),
        }

    def counts(self, state: State) -> dict[str, int]:
        """How many rows and labels of each kind there were, and how many rows wait now."""
        table = read(state, "pending")
        waiting = 0 if table is None else int(np.isnan(table.column("__label").to_numpy()).sum())
        return {**dict(zip(COUNTS, state["counts"].tolist(), strict=True)), "waiting": waiting}

    def arrive(
        self,
        state: State,
        batch: pa.RecordBatch,
        predictions: NDArray[Any],
        positions: NDArray[Any],
        last: float = float("nan"),
        *,
        matures: bool = True,
    ) -> Labelled:
        """Rows have come and were predicted; returns rows that mature by them.

        A row whose id is here already is a repetition: it is counted and left out.

        Args:
            state: changed in place.
            batch: the rows, with their ids and times.
            predictions: for each row.
            positions: where the rows stand in the stream.
            last: the last label that is known, for the baseline that repeats it.
            matures: whether rows mature now; else with `mature_now`, behind the labels that came before.

        Raises:
            DataError: ids are missing, or ids or times are of a type that cannot be read.
        """
        ids, rows = texts(batch.column(self.id), self.id), batch.num_rows
        times = None if self.time is None else micros(batch.column(self.time), self.time)
        old, at = read(state, "pending"), np.arange(rows) + int(state["counts"][0])
        clock = self._advance(state, at if times is None else times)
        deadline = self._deadlines(clock if times is None else np.maximum(clock, times))
        label = np.full(rows, np.nan)
        own = (lists(predictions), np.full(rows, last), positions, at, deadline, label)
        table = pa.Table.from_batches([batch])
        for name, column in zip(OWN, own, strict=True):
            table = table.append_column(name, pa.array(column))
        fresh = self._fresh(old, ids, at)
        _add(state, rows=rows, repeated=rows - int(fresh.sum()))
        again = tuple(ids.filter(pa.array(~fresh)).to_pylist())
        table = joined(old, table.filter(pa.array(fresh)))
        found = self._release(state, table, clock, at, matures=matures)
        return replace(found, repeated=again)

    def mature_now(self, state: State) -> Labelled:
        """Rows that have matured by the clock, and that no label has come for."""
        table = read(state, "pending")
        if table is None:
            return Labelled.of(_nothing(), np.zeros(0))
        label, deadline = (table.column(name).to_numpy() for name in ("__label", "__deadline"))
        ripe = np.isnan(label) & (deadline <= state["clock"][0])
        order = np.flatnonzero(ripe)
        order = order[np.argsort(deadline[order], kind="stable")]
        write(state, "pending", _with_labels(table, np.where(ripe, self._negative, label)))
        return self._matured(state, table, order)

    def join(self, state: State, ids: Any, y: NDArray[Any]) -> Labelled:
        """Labels have come; returns rows that they belong to, corrections too.

        Args:
            state: changed in place.
            ids: of the rows that they belong to.
            y: labels, classes as codes; nan for a row whose label will never be known (censored).

        Raises:
            DataError: a label is infinite, or ids are missing, or of a type that cannot be read.
        """
        names, labels = texts(ids, self.id), np.asarray(y, np.float64)
        if len(names) != len(labels):
            raise DataError(f"{len(names)} ids came with {len(labels)} labels", column=self.id)
        if np.isinf(labels).any():
            raise DataError(
                f"the label of {names[int(np.isinf(labels).argmax())].as_py()!r} is infinite",
                cure="Give nan for a row whose label will never be known.",
            )
        table = read(state, "pending")
        here = _ids(table, self.id)
        found = pc.fill_null(pc.index_in(names, here), -1).to_numpy(zero_copy_only=False).astype(np.int64)
        label = np.zeros(0) if table is None else table.column("__label").to_numpy().copy()
        was, counts = np.full(len(labels), np.nan), np.zeros(len(labels), bool)
        gone = np.zeros(len(label), bool)
        for i in np.flatnonzero(found >= 0):  # in their order: an id may come twice
            row = found[i]
            if gone[row] or label[row] == CENSORED:
                found[i] = -1
            elif np.isnan(labels[i]):
                gone[row] = np.isnan(label[row])
                _add(state, censored=1)
            elif label[row] != labels[i]:
                was[i], counts[i], label[row] = label[row], True, labels[i]
        unknown = tuple(names.filter(pa.array(found < 0)).to_pylist())
        _add(state, labels=len(labels), unknown=len(unknown), corrected=int((~np.isnan(was)).sum()))
        if table is None:
            table = _nothing()
            return Labelled.of(table, np.zeros(0), unknown=unknown)
        answer = Labelled.of(table.take(pa.array(found[counts])), labels[counts], was[counts], unknown)
        write(state, "pending", _with_labels(table, label).filter(pa.array(~gone)))
        return answer

    def _deadlines(self, arrived: NDArray[np.int64]) -> NDArray[np.int64]:
        """The clock at which rows mature that came at these times; never, where no time is known."""
        if self.mature is None:
            return np.full(len(arrived), ALWAYS)
        wait = int(duration(self.mature) * (1 if self.time is None else SECOND))
        return np.where((arrived == NEVER) | (arrived > ALWAYS - wait), ALWAYS, arrived + wait)

    def _advance(self, state: State, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """The clock after each row; counts rows that are behind it, or by more than labels take."""
        clock, last = state["clock"].tolist()
        earlier = np.concatenate([[times[0] if len(times) and last == NEVER else last], times])[:-1]
        moves = times if self.time is None else np.minimum(times, earlier)
        whole = np.maximum.accumulate(np.concatenate([[clock], moves]))
        known = times != NEVER
        behind = known & (times < whole[:-1])
        late = 0
        if self.mature is not None and self.time is not None:
            late = int((behind & (times < whole[:-1] - int(duration(self.mature) * SECOND))).sum())
        _add(state, backwards=int(behind.sum()), late=late)
        state["clock"][:] = whole[-1], times[known][-1] if known.any() else last
        return whole[1:]

    def _fresh(self, old: pa.Table | None, ids: pa.Array, at: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows are no repetition of one that came at most `pending` rows before."""
        found = pc.fill_null(pc.index_in(ids, _ids(old, self.id)), -1).to_numpy(zero_copy_only=False)
        came = np.full(len(ids), NEVER // 2)
        if old is not None:
            came = np.where(found >= 0, old.column("__at").to_numpy()[found], came)
        fresh = np.asarray(at - came >= self.pending)
        names = ids.to_numpy(zero_copy_only=False)
        order = np.argsort(names, kind="stable")
        again = np.isin(names, names[order[1:]][names[order[1:]] == names[order[:-1]]])
        newest: dict[str, int] = {}
        for i in np.flatnonzero(again):  # ids that this batch holds twice
            fresh[i] = at[i] - newest.get(names[i], came[i]) >= self.pending
            if fresh[i]:
                newest[names[i]] = at[i]
        return fresh

    def _release(
        self,
        state: State,
        table: pa.Table,
        clock: NDArray[np.int64],
        at: NDArray[np.int64],
        *,
        matures: bool,
    ) -> Labelled:
        """Label the rows that matured, and let those leave that were here long enough."""
        if not len(at):
            return Labelled.of(table.slice(0, 0), np.zeros(0))
        came, label = (table.column(name).to_numpy() for name in ("__at", "__label"))
        waits = np.isnan(label)
        ends = np.maximum(np.searchsorted(clock, table.column("__deadline").to_numpy()), came - at[0])
        leaves = came + self.pending - at[0]  # at which row of the batch
        ripe = waits & (ends < len(at)) & (ends <= leaves) & matures
        stays = leaves >= len(at)
        order = np.flatnonzero(ripe)
        order = order[np.argsort(ends[order], kind="stable")]
        _add(state, overflowed=int((waits & ~stays & ~ripe).sum()))
        after = _with_labels(table, np.where(ripe, self._negative, label))
        write(state, "pending", after.filter(pa.array(stays)))  # so that a repetition is known, however cut
        return self._matured(state, table, order)

    @property
    def _negative(self) -> float:
        """The label of rows that matured, or what stands for none."""
        return CENSORED if self.negative is None else float(self.negative)

    def _matured(self, state: State, table: pa.Table, order: NDArray[np.intp]) -> Labelled:
        """Rows that have matured, in that order; none where they are censored."""
        if self.negative is None:
            _add(state, censored=len(order))
            return Labelled.of(table.slice(0, 0), np.zeros(0))
        _add(state, matured=len(order))
        return Labelled.of(table.take(pa.array(order)), np.full(len(order), self._negative))


def _add(state: State, **counts: int) -> None:
    for name, count in counts.items():
        state["counts"][COUNTS.index(name)] += count


def _ids(table: pa.Table | None, name: str) -> pa.Array:
    return pa.array([], pa.string()) if table is None else texts(table.column(name), name)


def _with_labels(table: pa.Table, label: NDArray[np.float64]) -> pa.Table:
    return table.set_column(table.schema.get_field_index("__label"), "__label", pa.array(label))


def _nothing() -> pa.Table:
    """A table of rows that wait, without rows and without columns of their own."""
    types = (pa.list_(pa.float64()), pa.float64(), pa.int64(), pa.int64(), pa.int64(), pa.float64())
    return pa.table({name: pa.array([], kind) for name, kind in zip(OWN, types, strict=True)})

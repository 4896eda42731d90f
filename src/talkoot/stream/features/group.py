"""Windows that share the same entries, and the arrays that hold these."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from talkoot.core.errors import PlanError
from talkoot.learners.online.state import State, placed
from talkoot.stream.features.window import Window

if TYPE_CHECKING:
    from talkoot.kernels.window_arrays import Steps

PLACES = {"count": 0, "distinct": 0, "sum": 1, "mean": 2, "std": 3, "min": 4, "max": 5, "since": 6}
OF_KEYS = ("keys", "top", "ends", "order", "level", "first", "count", "sums", "extremes")
OF_ENTRIES = ("panes", "links", "sizes", "parts", "bounds")
FIRST_KEYS, FIRST_ENTRIES = 64, 256


@final
@dataclass(frozen=True, slots=True)
class Group:
    """Windows over the same column by the same keys in the same panes, distinct values apart."""

    by: tuple[str, ...]
    of: str | None
    pane: int  # microseconds
    distinct: bool
    windows: tuple[Window, ...]

    @property
    def spans(self) -> tuple[int, ...]:
        """The durations of the windows in panes, each once."""
        return tuple(dict.fromkeys(window.duration_us // self.pane for window in self.windows))

    @property
    def words(self) -> int:
        """Words of sums: none, those of sums, or those of squares too."""
        return 8 if self.has("std") else 4 if self.has("sum", "mean") else 0

    @property
    def bounds(self) -> int:
        """Two where the least or the greatest is wanted."""
        return 2 if self.has("min", "max") else 0

    @property
    def limit(self) -> float:
        """Values are smaller than this, so that sums of 2 ** 31 of them fit."""
        return 2.0**48 if self.words == 8 else 2.0**96 if self.words else np.inf

    @property
    def reads_numbers(self) -> bool:
        """Whether it needs values, not only whether there is one."""
        return self.words + self.bounds > 0

    def has(self, *aggregates: str) -> bool:
        """Whether one of these is wanted."""
        return any(name in window.aggregates for window in self.windows for name in aggregates)

    def columns(self) -> Iterator[tuple[str, int, int, str]]:
        """(name, window, place in what the kernel gives, aggregate) of what comes out."""
        for window in self.windows:
            k = self.spans.index(window.duration_us // self.pane)
            for name, aggregate in zip(window.names, window.aggregates, strict=True):
                if (aggregate == "distinct") == self.distinct:
                    yield name, k, PLACES[aggregate], aggregate

    def start(self, memory: int) -> State:
        """Arrays without rows.

        Raises:
            PlanError: even these do not fit.
        """
        k = len(self.spans)
        state: State = {
            "heads": np.array([-1, -1, -1, -1, 0, 0], np.int64),
            "spans": np.array(self.spans, np.int64),
            "keys": np.zeros(0, np.uint64),
            "top": np.zeros(0, np.int64),
            "ends": np.zeros((0, 2), np.int32),
            "order": np.zeros((0, 2), np.int32),
            "level": np.zeros((0, 2), np.int64),
            "first": np.zeros((0, k), np.int32),
            "count": np.zeros((0, k), np.int64),
            "sums": np.zeros((0, k, self.words), np.uint64),
            "extremes": np.zeros((0, k, self.bounds)),
            "panes": np.zeros(0, np.int64),
            "links": np.zeros((0, 2), np.int32),
            "sizes": np.zeros(0, np.int64),
            "parts": np.zeros((0, self.words), np.uint64),
            "bounds": np.zeros((0, self.bounds)),
            "items": np.zeros(0, np.uint64),
            "places": np.zeros(1, np.int32),
        }
        _grow(state, OF_KEYS, "table", FIRST_KEYS)
        _grow(state, self.of_entries, "places", FIRST_ENTRIES)
        if _size(state) > memory:
            raise PlanError(
                f"{memory} bytes hold no windows by {self.by or 'no key'}: the least is {_size(state)}",
                cure="Give `memory` more bytes.",
            )
        return state

    @property
    def of_entries(self) -> tuple[str, ...]:
        """Names of the arrays with a row for each entry."""
        return (*OF_ENTRIES, "items") if self.distinct else OF_ENTRIES

    def run(self, state: State, prefix: str, steps: Steps, itself: bool, memory: int) -> NDArray[np.float64]:
        """Take steps; (steps, windows, 7) what each sees. Arrays that grow are replaced in the state."""
        from talkoot.kernels.window_arrays import Store
        from talkoot.kernels.windows import pass_rows

        part = {name: np.require(state[prefix + name], requirements="W") for name in Store._fields}
        state.update(placed(part, prefix))
        out = np.full((len(steps.key), len(self.spans), 7), np.nan)
        done = 0
        while True:
            keys = _grown_size(part, OF_KEYS, "table") <= memory
            entries = _grown_size(part, self.of_entries, "places") <= memory
            done = pass_rows(Store(**part), steps, done, np.array([keys, entries]), itself, out)
            if done == len(steps.key):
                return out
            if part["heads"][1] < 0 and entries:
                _grow(part, self.of_entries, "places", 2 * len(part["panes"]))
            else:
                _grow(part, OF_KEYS, "table", 2 * len(part["keys"]))
            state.update(placed(part, prefix))


def _size(part: State) -> int:
    return sum(array.nbytes for array in part.values())


def _grown_size(part: State, names: tuple[str, ...], table: str) -> int:
    """Bytes of all arrays when those of these names have doubled."""
    return _size(part) + sum(part[name].nbytes for name in names) + part[table].nbytes


def _grow(part: State, names: tuple[str, ...], table: str, rows: int) -> None:
    """Replace arrays by longer ones, whose new rows are free."""
    from talkoot.kernels.windows import fill_table

    before = len(part[names[0]])
    for name in names:
        part[name] = _longer(part[name], rows)
    links, head = ("order", 0) if table == "table" else ("links", 1)
    part[links][before:, 1] = np.arange(before + 1, rows + 1)
    part[links][rows - 1, 1] = part["heads"][head]
    part["heads"][head] = before
    if table == "table" or "items" in names:
        part[table] = np.zeros(2 * rows, np.int32)
        fill_table(part[table], part["keys"] if table == "table" else part["items"])


def _longer(array: np.ndarray[Any, Any], rows: int) -> np.ndarray[Any, Any]:
    result = np.zeros((rows, *array.shape[1:]), array.dtype)
    result[: len(array)] = array
    return result


def groups_of(windows: tuple[Window, ...]) -> tuple[Group, ...]:
    """The groups of windows, in the order of their first ones."""
    found: dict[tuple[Any, ...], list[Window]] = {}
    for window in windows:
        for distinct in sorted({name == "distinct" for name in window.aggregates}):
            found.setdefault((window.by, window.of, window.pane_us, distinct), []).append(window)
    return tuple(Group(*shared, tuple(own)) for shared, own in found.items())

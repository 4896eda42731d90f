"""Labels that arrive after their rows: they wait, and join their windows when the clock has come so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from talkoot.learners.online.state import State
from talkoot.stream.features.columns import NEVER

Ints = NDArray[np.int64]
FIELDS = ("arrival", "key", "pane", "value", "item")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Labels of rows; as many of each."""

    arrival: Ints  # microseconds
    key: NDArray[np.uint64]
    pane: Ints  # of their rows
    value: NDArray[np.float64]
    item: NDArray[np.uint64]

    def take(self, rows: slice | NDArray[Any]) -> Labels:
        """Some of these."""
        return Labels(*(getattr(self, name)[rows] for name in FIELDS))

    def and_then(self, other: Labels) -> Labels:
        """These, then others."""
        return Labels(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in FIELDS))


def none_waiting() -> State:
    """No labels, as a state."""
    types = (np.int64, np.uint64, np.int64, np.float64, np.uint64)
    state: State = {f"waiting/{name}": np.zeros(0, kind) for name, kind in zip(FIELDS, types, strict=True)}
    return {**state, "waiting/released": np.array([NEVER])}


def waiting(state: State, prefix: str) -> Labels:
    """The labels that wait in a state, in the order in which they arrive."""
    return Labels(*(state[f"{prefix}waiting/{name}"] for name in FIELDS))


def set_waiting(state: State, prefix: str, labels: Labels, released: np.int64) -> None:
    """Let these wait, and note when the last of those that joined had arrived."""
    for name in FIELDS:
        state[f"{prefix}waiting/{name}"] = getattr(labels, name)
    state[f"{prefix}waiting/released"] = np.array([released])


class Due(NamedTuple):
    """Which labels join before which row."""

    labels: Labels  # in the order in which they join
    before: NDArray[np.intp]  # the row before which each joins
    later: Labels  # those that go on waiting
    released: Ints  # (rows,) when the last label that a row can see had arrived


def due(old: Labels, new: Labels, seen: NDArray[np.intp], clock: Ints, released: np.int64) -> Due:
    """Which labels have arrived at which row.

    Args:
        old: those that wait.
        new: those of the rows.
        seen: the row of each of `new`, after which it can join.
        clock: (rows,) the latest time so far, at each row.
        released: when the last of those that joined had arrived.
    """
    cut = int(np.searchsorted(old.arrival, clock[-1], side="right")) if len(clock) else 0
    both = old.take(slice(cut)).and_then(new)
    earliest = np.concatenate([np.zeros(cut, np.intp), seen + 1])
    before = np.maximum(earliest, np.searchsorted(clock, both.arrival, side="left"))
    order = np.lexsort((both.arrival, before))
    joined = order[before[order] < len(clock)]
    arrived = np.full(len(clock), released)
    np.maximum.at(arrived, before[joined], both.arrival[joined])
    later = old.take(slice(cut, None)).and_then(both.take(before == len(clock)))
    later = later.take(np.argsort(later.arrival, kind="stable"))
    return Due(both.take(joined), before[joined], later, np.maximum.accumulate(arrived))

"""Small codes for the categories of a stream, in the order in which they came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkoot.learners.online.features import Features
from talkoot.learners.online.state import State
from talkoot.learners.online.trees.arrays import MOST_CODES

ROOM = 4


def blank_codes(categories: int) -> State:
    """Tables for so many columns of categories, without any category."""
    return {"known": np.zeros((categories, ROOM), np.uint64), "sizes": np.zeros(categories, np.int64)}


def room(state: State) -> int:
    """Codes that tables of counts must have room for, code 0 included."""
    return int(state["known"].shape[1]) + 1


def coded(state: State, rows: Features) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """Parts of a batch as first row, end and codes; between two of them the table of categories grew."""
    from talkoot.kernels.trees.codes import encode

    known, sizes = state["known"], state["sizes"]
    start = 0
    while start < len(rows):
        codes = np.zeros((len(rows) - start, len(known)), np.int32)
        end = start + encode(rows.categories[start:], known, sizes, MOST_CODES, codes)
        if end > start:
            yield start, end, codes[: end - start]
        start = end
        if start < len(rows):
            more = min(2 * known.shape[1], MOST_CODES)
            known = np.pad(known, ((0, 0), (0, more - known.shape[1])))
            state["known"] = known


def looked_up(state: State, rows: Features) -> NDArray[Any]:
    """Codes of categories that are known; -1 for others, 0 where missing."""
    from talkoot.kernels.trees.codes import encode

    codes = np.zeros((len(rows), len(state["known"])), np.int32)
    encode(rows.categories, state["known"], state["sizes"], 0, codes)
    return codes

"""The arrays that the windows of keys are made of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Ints = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Links = np.ndarray[tuple[int, ...], np.dtype[np.int32]]
Words = np.ndarray[tuple[int, ...], np.dtype[np.uint64]]
Reals = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Flags = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


class Store(NamedTuple):
    """The arrays of one group of K windows, with W words of sums (0; 4; with squares 8) and B bounds (0; 2).

    Links are -1 where there is none; tables hold the place + 1, 0 where empty; a free name is 0.
    """

    heads: Ints  # by the numbers above
    spans: Ints  # (K,) panes
    keys: Words  # (keys,)
    table: Links  # where keys are, by hash
    top: Ints  # (keys,) the newest pane
    ends: Links  # (keys, 2) oldest and newest entry
    order: Links  # (keys, 2) the keys touched before and after it
    level: Ints  # (keys, 2) entries, and how often the part of distinct values was halved
    first: Links  # (keys, K) the oldest entry of a window
    count: Ints  # (keys, K)
    sums: Words  # (keys, K, W)
    extremes: Reals  # (keys, K, B) least and greatest; nan: to be found again
    panes: Ints  # (entries,)
    links: Links  # (entries, 2) the entries before and after it
    sizes: Ints  # (entries,) values
    parts: Words  # (entries, W) sums
    bounds: Reals  # (entries, B)
    items: Words  # (entries,) distinct values as hashes of key and value; else (0,)
    places: Links  # where distinct values are, by hash


class Steps(NamedTuple):
    """What is to be done, one step after the other."""

    key: Words  # 0: missing
    pane: Ints
    horizon: Ints  # rows that are on time are of this pane or a later one
    value: Reals  # nan: missing
    item: Words
    asks: Flags
    adds: Flags

"""Values that are recognised wherever they turn up: as numbers of 64 and 32 bits, as digits, as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import msgspec
import numpy as np

WHOLE, NOTE = 73519, "kanarie"  # the whole part of each number; the beginning of each text
_DIGITS = re.compile(rb"73519[.,]\d|7[.,]3519\d*[eE]")


def numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers that differ from each other in their fractions alone."""
    return np.asarray(WHOLE + rng.uniform(0.01, 0.99, shape))


def notes(count: int, site: str) -> list[str]:
    """Texts, each of which is there once."""
    return [f"{NOTE}-{site}-{index}" for index in range(count)]


class Canary:
    """What must not leave a site.

    A number of 64 bits is found wherever it stands, and so are digits and texts. Masks would hit one
    of 32 bits by chance, so two must stand together, or one behind the byte that msgpack sets before it.
    """

    def __init__(self, cells: np.ndarray) -> None:
        flat = np.ascontiguousarray(cells, np.float64).ravel()
        self.words = np.concatenate([flat.view("<u8"), flat.astype(">f8").view("<u8")])
        self.halves = np.unique(flat.astype("<f4").view("<u4"))

    def found_in(self, data: bytes) -> str | None:
        """What of it is in these bytes, in words; None if nothing is."""
        if NOTE.encode() in data.lower():
            return "a text"
        if _DIGITS.search(data):
            return "the digits of a number"
        if np.isin(_numbers(data, "<u8"), self.words).any():
            return "a number of 64 bits"
        little, big = (np.isin(_numbers(data, kind), self.halves) for kind in ("<u4", ">u4"))
        packed = np.frombuffer(data, np.uint8)[: max(0, big.size - 1)] == 0xCA
        found = (little[4:] & little[:-4]).any() or (big[1:] & packed).any()
        return "numbers of 32 bits" if found else None

    def found(self, many: Iterable[bytes]) -> list[str]:
        return [found for data in many if (found := self.found_in(data)) is not None]


def _numbers(data: bytes, kind: str) -> np.ndarray:
    """The number that begins at each of these bytes."""
    size = np.dtype(kind).itemsize
    if len(data) < size:
        return np.empty(0, kind)
    windows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(data, np.uint8), size)
    return np.ascontiguousarray(windows).view(kind)[:, 0]


def encodings(cells: np.ndarray) -> dict[str, bytes]:
    """A few of the ways in which cells could leave."""
    one, two = float(cells[0]), cells[:2]
    return {
        "float64": two[:1].tobytes(),
        "big-endian": two[:1].astype(">f8").tobytes(),
        "float32": two.astype("<f4").tobytes(),
        "msgpack": msgspec.msgpack.encode({"x": one}),
        "msgpack, 32 bits": b"\xca" + two[:1].astype(">f4").tobytes(),
        "json": json.dumps([one]).encode(),
        "digits": f"{one:.8g}".encode(),
        "exponent": f"{one:e}".encode(),
        "an array's text": str(cells[:3]).encode(),
        "a text": f"no {NOTE.upper()}-oslo-3 here".encode(),
    }

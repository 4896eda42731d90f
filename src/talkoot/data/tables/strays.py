"""Text in columns of numbers: the text, its place, and the cure."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import final

import numpy as np

NUMBER = re.compile(r"\s*[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf|infinity)\s*", re.ASCII | re.I)


@final
@dataclass(frozen=True, slots=True)
class Stray:
    """A text of a text column, if possible the first that is not a number."""

    text: str = ""
    place: str = ""  # its place, such as "row 7 of heart.csv"
    among: bool = False  # whether most texts of the column are numbers

    def __str__(self) -> str:
        return f"{self.text!r} in {self.place}" if self.place else repr(self.text)


def cure_of(text: str) -> str:
    """The cure for a text among numbers."""
    declare = f"If {text!r} stands for a missing value, say missing=[{text!r}]"
    return f"{declare}; else make the column alike everywhere."


def is_number(text: str) -> bool:
    """Whether pandas.read_csv reads a text as a number.

    >>> is_number(" -1.5e3"), is_number("1_000"), is_number("1,5")
    (True, False, False)
    """
    return NUMBER.fullmatch(text) is not None


def row_label(row: int) -> str:
    """The name of a row of a table, for messages.

    >>> row_label(0)
    'row 1, counted from 1'
    """
    return f"row {row + 1}, counted from 1"


def are_numbers(texts: Collection[str | None], missing: Collection[str]) -> bool:
    """Whether texts are numbers except for some that stand for missing values.

    >>> are_numbers({"1", "?"}, ["?"]), are_numbers({"1", "2"}, ["?"]), are_numbers({"a", "?"}, ["?"])
    (True, False, False)
    """
    known = {text for text in texts if text is not None}
    rest = known.difference(missing)
    return len(rest) < len(known) and all(map(is_number, rest))


def in_table(codes: np.ndarray, levels: np.ndarray) -> Stray:
    """The stray of a column in memory.

    `codes` are positions in `levels`, (rows,), -1 where a value is missing; the last level is None.
    """
    known = codes[codes >= 0]
    if not len(known):
        return Stray()
    used = np.unique(known)
    odd = np.array([not is_number(str(levels[code])) for code in used])
    if not odd.any():
        return Stray(text=str(levels[known[0]]))
    row = int(np.isin(codes, used[odd]).argmax())
    share = float(np.isin(known, used[odd]).mean())
    return Stray(str(levels[codes[row]]), row_label(row), share < 0.5)

"""One column of a node, summarised block by block."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from talkoot.data.contract.quantile_summary import QuantileSummary
from talkoot.data.tables.columns import to_arrow
from talkoot.data.tables.strays import is_number
from talkoot.data.targets import is_text

RANKS = np.linspace(0, 1, 201)
MAX_DISTINCT = 20  # numeric columns with at most this many distinct values are counted like categories
MAX_TEXTS = 50_000  # above this many distinct texts the rarer half of the counts is dropped
MAX_CATEGORIES = 1000  # most frequent categories that a node reports


@final
@dataclass(slots=True)
class Column:
    """One column of a node, gathered block by block.

    Args:
        read_numbers: whether texts that are numbers go into the summary, and the others are counted.
    """

    read_numbers: bool = False
    rows: int = 0
    missing: int = 0
    infinite: int = 0
    counts: Counter[Any] | None = field(default_factory=Counter)
    text: bool = False
    strays: int = 0  # rows whose text is no number, where numbers are read
    summary: QuantileSummary = field(default_factory=QuantileSummary)

    def add(self, values: np.ndarray) -> None:
        """Add rows: numbers, or objects of str and None."""
        self.rows += len(values)
        if is_text(values):
            self._add_text(values)
            return
        numbers = values.astype(np.float64)
        known = numbers[np.isfinite(numbers)]
        self.missing += int(np.isnan(numbers).sum())
        self.infinite += int(np.isinf(numbers).sum())
        self.summary.add(known)
        if self.counts is not None:
            distinct, counts = np.unique(known, return_counts=True)
            if len(distinct) <= MAX_DISTINCT:
                self.counts.update(dict(zip(distinct.tolist(), counts.tolist(), strict=True)))
            if len(distinct) > MAX_DISTINCT or len(self.counts) > MAX_DISTINCT:
                self.counts = None

    def _add_text(self, values: np.ndarray) -> None:
        self.text = True
        assert self.counts is not None, "a column holds text in all blocks or in none"
        for pair in to_arrow(values).value_counts():
            level, count = pair["values"].as_py(), pair["counts"].as_py()
            if level is None:
                self.missing += count
            else:
                self.counts[level] += count
                if self.read_numbers:
                    self._add_number(level, count)
        if len(self.counts) > MAX_TEXTS:
            self.counts = Counter(dict(self.counts.most_common(MAX_TEXTS // 2)))

    def _add_number(self, text: str, count: int) -> None:
        number = float(text) if is_number(text) else np.nan
        if np.isfinite(number):
            self.summary.add(np.full(count, number))
        else:
            self.strays += count

    def leaves(self, name: str) -> dict[str, np.ndarray]:
        """The column as leaves of an update."""
        leaves = {f"{name}.facts": np.array([self.rows, self.missing, self.infinite])}
        if self.counts is not None and (self.counts or self.text):
            top = self.counts.most_common(MAX_CATEGORIES)
            leaves[f"{name}.values"] = np.array(
                [value for value, _ in top], dtype=str if self.text else float
            )
            leaves[f"{name}.counts"] = np.array([count for _, count in top], dtype=np.int64)
            leaves[f"{name}.distinct"] = np.array([len(self.counts)])
        if not self.summary.empty:
            leaves[f"{name}.grid"] = self.summary.quantiles(RANKS)
        return leaves

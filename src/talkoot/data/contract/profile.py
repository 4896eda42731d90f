"""Summaries of a node's columns, without its rows: counts, quantiles, categories, hashes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.query import Answer, Query
from talkoot.core.shard import Block, Shard
from talkoot.data.contract.hashing import Sample, hash_rows
from talkoot.data.contract.quantile_summary import QuantileSummary
from talkoot.data.tables.columns import NUMBER, WHOLE, to_arrow
from talkoot.data.tables.source import Source
from talkoot.data.tables.strays import Stray
from talkoot.data.targets import is_text

RANKS = np.linspace(0, 1, 201)
MAX_DISTINCT = 20  # numeric columns with at most this many distinct values are counted like categories
MAX_TEXTS = 50_000  # above this many distinct texts the rarer half of the counts is dropped
MAX_CATEGORIES = 1000  # most frequent categories that a node reports
MAX_SPARSE_COLUMNS = 2000  # of a sparse matrix that can be checked
STEP = "checking the data"


@final
@dataclass(frozen=True, slots=True)
class Profile(Query):
    """Reports the distribution of each node's columns."""

    keys: tuple[str, ...] = ()  # the columns that identify a row; if empty, all of them and the target
    salt: str = ""  # of the hashes
    reads: ClassVar[type[Shard]] = Source
    step_name: ClassVar[str] = STEP

    def answer(self, shard: Shard) -> Answer:
        """One pass over the rows."""
        assert isinstance(shard, Source)
        layout = shard.layout()
        if layout.sparse and len(layout.names) > MAX_SPARSE_COLUMNS:
            raise DataError(
                f"the sparse matrix has {len(layout.names)} columns, and a check reads each",
                cure=f"Check at most {MAX_SPARSE_COLUMNS} of them: columns=.",
            )
        names = layout.schema().names or layout.names
        seen = {name: Column() for name in names}
        target, rows, sample = Column(), 0, Sample()
        for block in shard.blocks():
            columns = _columns(block, names)
            for name, values in columns.items():
                seen[name].add(values)
            if block.y is not None and block.y.ndim == 1:
                target.add(block.y)
            sample.add(self._hashes(columns, block))
            rows += len(block)
        if not rows:
            return {}
        hashes, repeats = sample.settle()
        leaves = {
            "rows": np.array([rows]),
            "names": np.array(layout.names, dtype=str),
            "kinds": np.array([NUMBER if kind == WHOLE else kind for kind in layout.kinds], dtype=str),
            "places": np.array([layout.strays.get(name, Stray()).place for name in layout.names], dtype=str),
            "left_out": np.array(list(layout.left_out), dtype=str),
            "reasons": np.array(list(layout.left_out.values()), dtype=str),
            "named": np.array([layout.named]),
            "target": np.array([shard.has_target]),
            "hashes": hashes,
            "repeats": repeats,
        }
        for name, column in seen.items():
            leaves |= column.leaves(str(layout.names.index(name)))
        return leaves | target.leaves("target")

    def _hashes(self, columns: Mapping[str, np.ndarray], block: Block) -> np.ndarray:
        lost = [key for key in self.keys if key not in columns]
        if lost:
            raise DataError(
                "keys= names a column that is not there",
                column=lost[0],
                cure=f"The columns are {', '.join(map(repr, list(columns)[:12]))}.",
            )
        identity = {key: columns[key] for key in self.keys} if self.keys else dict(columns)
        if not self.keys and block.y is not None and block.y.ndim == 1:
            identity["target/"] = block.y
        return hash_rows(identity, len(block), self.salt)


def _columns(block: Block, names: tuple[str, ...]) -> Mapping[str, np.ndarray]:
    if isinstance(block.X, Mapping):
        return block.X
    X = block.X if isinstance(block.X, np.ndarray) else block.X.toarray()
    return dict(zip(names, X.T, strict=True))


@final
@dataclass(slots=True)
class Column:
    """One column of a node, gathered block by block."""

    rows: int = 0
    missing: int = 0
    infinite: int = 0
    counts: Counter[Any] | None = field(default_factory=Counter)
    text: bool = False
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
        if len(self.counts) > MAX_TEXTS:
            self.counts = Counter(dict(self.counts.most_common(MAX_TEXTS // 2)))

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

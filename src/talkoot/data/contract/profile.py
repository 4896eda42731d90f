"""What a node's columns look like, without its rows: counts, quantiles, categories, hashes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError, TalkootError
from talkoot.core.learner import Kind, Learner
from talkoot.core.merge import Gather, Merge
from talkoot.core.outer import Outer, Solve
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Update
from talkoot.data.contract.hashing import Sample, hash_rows
from talkoot.data.contract.quantile_summary import QuantileSummary
from talkoot.data.inventory import Gathered
from talkoot.data.tables.columns import NUMBER, WHOLE, to_arrow
from talkoot.data.tables.source import Source
from talkoot.data.tables.strays import Stray
from talkoot.data.targets import is_text

RANKS = np.linspace(0, 1, 201)
FEW = 20  # distinct values up to which numbers are counted one by one, like categories
MANY = 50_000  # distinct texts of a column above which a node forgets the rarer half
LEVELS = 1000  # categories of a column that a node tells, the most frequent first
WIDE = 2000  # columns of a sparse matrix up to which they are looked at one by one
STEP = "checking the data"


@final
@dataclass(frozen=True, slots=True)
class Profile(Learner):
    """Asks each node what its columns look like.

    Args:
        keys: the columns that tell rows apart; all of them, and the target, for none.
        salt: of the hashes.
    """

    keys: tuple[str, ...] = ()
    salt: str = ""
    kind: ClassVar[Kind] = "exact"

    def init(self, schema: Schema, rng: np.random.Generator) -> Gathered:
        """Nothing is known."""
        return Gathered()

    def work(self, model: Gathered, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """One pass over the rows."""
        assert isinstance(shard, Source), "a check reads sources, not shards that were changed"
        try:
            return self._look(shard), None
        except TalkootError as error:
            raise error.at(step=STEP) from error

    def _look(self, shard: Source) -> Update:
        layout = shard.layout()
        if layout.sparse and len(layout.names) > WIDE:
            raise DataError(
                f"the sparse matrix has {len(layout.names)} columns, and a check looks at each",
                cure=f"Check at most {WIDE} of them: columns=.",
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
            return Update()
        hashes, repeats = sample.settle()
        said = {
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
            said |= column.leaves(str(layout.names.index(name)))
        return Update(values=said | target.leaves("target"), weight=float(rows))

    def _hashes(self, columns: Mapping[str, np.ndarray], block: Block) -> np.ndarray:
        lost = [key for key in self.keys if key not in columns]
        if lost:
            raise DataError(
                "keys= names a column that is not there",
                column=lost[0],
                cure=f"The columns are {', '.join(map(repr, list(columns)[:12]))}.",
            )
        told = {key: columns[key] for key in self.keys} if self.keys else dict(columns)
        if not self.keys and block.y is not None and block.y.ndim == 1:
            told["target/"] = block.y
        return hash_rows(told, len(block), self.salt)

    def merge(self) -> Merge:
        """Kept apart, to be compared."""
        return Gather()

    def outer(self) -> Outer:
        """One round."""
        return Solve(self.step)

    def step(self, model: Gathered, update: Update) -> Gathered:
        """Sort what was said by node."""
        return Gathered(Gather.split(update))

    def finish(self, model: Gathered) -> Mapping[str, Mapping[str, np.ndarray]]:
        """What each node said, by its name."""
        return model.nodes or {}


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
        """More rows: numbers, or objects of str and None."""
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
            if len(distinct) <= FEW:
                self.counts.update(dict(zip(distinct.tolist(), counts.tolist(), strict=True)))
            if len(distinct) > FEW or len(self.counts) > FEW:
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
        if len(self.counts) > MANY:
            self.counts = Counter(dict(self.counts.most_common(MANY // 2)))

    def leaves(self, name: str) -> dict[str, np.ndarray]:
        """What the node says about it."""
        said = {f"{name}.facts": np.array([self.rows, self.missing, self.infinite])}
        if self.counts is not None and (self.counts or self.text):
            top = self.counts.most_common(LEVELS)
            said[f"{name}.values"] = np.array([value for value, _ in top], dtype=str if self.text else float)
            said[f"{name}.counts"] = np.array([count for _, count in top], dtype=np.int64)
            said[f"{name}.distinct"] = np.array([len(self.counts)])
        if not self.summary.empty:
            said[f"{name}.grid"] = self.summary.quantiles(RANKS)
        return said

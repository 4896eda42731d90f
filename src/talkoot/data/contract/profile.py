"""Summaries of a node's columns, without its rows: counts, quantiles, categories, hashes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.query import Answer, Query
from talkoot.core.shard import Block, Shard
from talkoot.data.contract.column import Column
from talkoot.data.contract.hashing import Sample, hash_rows
from talkoot.data.contract.thresholds import thresholded
from talkoot.data.tables.columns import NUMBER, WHOLE
from talkoot.data.tables.source import Source
from talkoot.data.tables.strays import Stray

MAX_SPARSE_COLUMNS = 2000  # of a sparse matrix that can be checked
STEP = "checking the data"


@final
@dataclass(frozen=True, slots=True)
class Profile(Query):
    """Reports the distribution of each node's columns."""

    keys: tuple[str, ...] = ()  # the columns that identify a row; if empty, all of them and the target
    salt: str = ""  # of the hashes
    least: int = 1  # of what fewer rows than this have, nothing is reported; see `thresholds`
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
        hidden = self.least > 1
        seen = {name: Column(read_numbers=hidden) for name in names}
        target, rows, sample = Column(), 0, Sample()
        for block in shard.blocks():
            columns = columns_of(block, names)
            for name, values in columns.items():
                seen[name].add(values)
            if block.y is not None and block.y.ndim == 1:
                target.add(block.y)
            if not hidden:
                sample.add(self._hashes(columns, block))
            rows += len(block)
        if not rows:
            return {}
        hashes, repeats = sample.settle()
        places = ["" if hidden else layout.strays.get(name, Stray()).place for name in layout.names]
        leaves = {
            "rows": np.array([rows]),
            "least": np.array([self.least]),
            "names": np.array(layout.names, dtype=str),
            "kinds": np.array([NUMBER if kind == WHOLE else kind for kind in layout.kinds], dtype=str),
            "places": np.array(places, dtype=str),
            "left_out": np.array(list(layout.left_out), dtype=str),
            "reasons": np.array(list(layout.left_out.values()), dtype=str),
            "named": np.array([layout.named]),
            "target": np.array([shard.has_target]),
            "hashes": hashes,
            "repeats": repeats,
        }
        for name, column in seen.items():
            leaves |= self._leaves(column, str(layout.names.index(name)))
        return leaves | self._leaves(target, "target")

    def _leaves(self, column: Column, name: str) -> dict[str, np.ndarray]:
        return column.leaves(name) if self.least == 1 else thresholded(column, name, self.least)

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


def columns_of(block: Block, names: tuple[str, ...]) -> Mapping[str, np.ndarray]:
    """The columns of a block by name."""
    if isinstance(block.X, Mapping):
        return block.X
    X = block.X if isinstance(block.X, np.ndarray) else block.X.toarray()
    return dict(zip(names, X.T, strict=True))

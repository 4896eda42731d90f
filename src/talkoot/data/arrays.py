"""Shards of arrays in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from talkoot.core.shard import Block, Shard

BLOCK_BYTES = 1 << 20  # of features in a block: about what a core's own cache holds


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ArrayShard(Shard):
    """Rows of arrays in memory: dense, or CSR."""

    name: str
    X: Any
    y: np.ndarray | None = None
    w: np.ndarray | None = None

    def blocks(self) -> Iterator[Block]:
        """Views of consecutive rows."""
        rows, features = self.X.shape
        step = max(256, BLOCK_BYTES // max(1, features * self.X.dtype.itemsize))
        for at in range(0, rows, step):
            part = slice(at, at + step)
            yield Block(
                X=self.X[part],
                y=None if self.y is None else self.y[part],
                w=None if self.w is None else self.w[part],
            )

"""tk.shards: the rows of every node, from whatever they are in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, final

import numpy as np

from talkoot.core.shard import Shard
from talkoot.data.arrays import ArrayShard


@final
class Shards(Mapping[str, Shard]):
    """The shards of a job by the node's name. (Skeleton.)"""

    def __init__(self, shards: Mapping[str, Shard]) -> None:
        self._shards = dict(shards)

    def __getitem__(self, node: str) -> Shard:
        return self._shards[node]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shards)

    def __len__(self) -> int:
        return len(self._shards)


def shards(
    data: Any,
    target: Any = None,
    *,
    weight: Any = None,
    by: str | None = None,
    nodes: int | None = None,
) -> Shards:
    """(Skeleton: arrays and dicts of (X, y) only.)"""
    if isinstance(data, Shards):
        return data
    if isinstance(data, Mapping):
        return Shards({k: ArrayShard(name=k, X=v[0], y=v[1]) for k, v in data.items()})
    count = nodes or 1
    edges = np.linspace(0, data.shape[0], count + 1).astype(int)
    parts = [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]
    return Shards(
        {
            f"node{i}": ArrayShard(
                name=f"node{i}",
                X=data[p],
                y=None if target is None else target[p],
                w=None if weight is None else weight[p],
            )
            for i, p in enumerate(parts)
        }
    )

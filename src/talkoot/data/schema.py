"""Round 0: the nodes agree on a schema."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from talkoot.core.engine import Engine, Listener, ignore
from talkoot.core.shard import Schema
from talkoot.data.shards import Shards


def agree(
    shards: Shards, engine: Engine, *, labels: bool = False, listen: Listener = ignore
) -> tuple[Schema, Shards]:
    """Ask every node for its columns; return what they agree on and shards that read accordingly. (Skeleton.)

    Args:
        shards: the nodes' rows.
        engine: where the nodes are.
        labels: the target holds classes, so collect them and hand learners their indices.
        listen: hears of the round.
    """
    blocks = [block for shard in shards.values() for block in shard.blocks()]
    X = np.concatenate([b.X for b in blocks])
    ys: Any = None if blocks[0].y is None else np.concatenate([b.y for b in blocks])
    classes = np.unique(ys) if labels else None
    schema = Schema(
        names=None,
        kinds=("number",) * X.shape[1],
        dtype=np.result_type(X.dtype, np.float32),
        rows=len(X),
        center=X[:1000].mean(axis=0, dtype=np.float64),
        classes=classes,
        target_center=None if ys is None or labels else np.atleast_1d(ys.mean()),
    )
    if classes is None:
        return schema, shards
    return schema, Shards(
        {k: replace(s, y=np.searchsorted(classes, s.y)) for k, s in shards.items()}  # type: ignore[type-var]
    )

"""The engine that suits a job and this machine, and why."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeGuard

from talkoot.core.cores import cores
from talkoot.core.engine import Engine
from talkoot.core.learner import Learner
from talkoot.core.shard import Shard
from talkoot.data.samples.base import samples_of
from talkoot.data.tables.arrays import ArrayShard
from talkoot.data.tables.files import FileShard
from talkoot.data.tables.source import Source
from talkoot.data.tables.tables import TableShard
from talkoot.engines.inline import Inline
from talkoot.engines.local import Local
from talkoot.engines.processes.pool import POOL

# Values (rows x columns) from which it pays. Measured on 2 cores with encoders, quantiles, scalers and
# linear models: sharing out costs 1-5 ms of threads, 10 ms of warm workers or 1.2 s of new ones, and gains
# about 20 ns a value.
THREADS = 1_000_000
WARM = 1_000_000
COLD = 50_000_000
_WIDTH = 10  # columns of a file whose rows are known, and
_BYTES = 8  # of a file for each value where they are not


def choose(learner: Learner, shards: Mapping[str, Shard]) -> tuple[Engine, str]:
    """The engine to use where the user names none.

    Args:
        learner: what is to be learned.
        shards: the rows. A single source counts as one that can be dealt out.

    Returns:
        The engine, and the reason as half a sentence.

    >>> import talkoot as tk
    >>> from talkoot.testing.toys import Count
    >>> import numpy as np
    >>> engine, reason = choose(Count(), tk.shards(np.eye(3), nodes=3))
    >>> engine
    Inline(threads=1)
    """
    if samples_of(shards):
        return Inline(threads=cores()), (
            f"one process with {cores()} threads: processes of one machine would spend time on their exchange"
        )
    name = type(getattr(learner, "estimator", learner)).__name__
    most = cores() if len(shards) == 1 and learner.may_split else min(cores(), len(shards))
    work, here = values(shards), "one thread of this process: "
    if most < 2:
        return Inline(), f"{here}it is all that may be used"
    if learner.threads:
        if work is not None and work < THREADS:
            return Inline(), f"{here}{work} values are too few to share out"
        return Inline(threads=most), (
            f"{most} threads of this process: the kernels of {name} leave the interpreter free, "
            "and no rows need to be copied"
        )
    least = WARM if POOL.warmed else COLD
    if not hasattr(os, "fork") or (work is not None and work < least):
        return (
            Inline(),
            f"{here}{name} holds the interpreter, and worker processes do not pay for {work} values",
        )
    return Local(
        most
    ), f"{most} worker processes: {name} holds the interpreter, so threads would wait in turn"


def values(shards: Mapping[str, Shard]) -> int | None:
    """Rows x columns over all nodes; a guess where they are in files, None where nothing is known."""
    counts = [_values(shard) for shard in shards.values()]
    paths = {part.path for shard in shards.values() if _unread(shard) for part in shard.parts}
    if any(count is None for count in counts) or not all(map(os.path.isfile, paths)):
        return None
    return sum(count or 0 for count in counts) + sum(map(os.path.getsize, paths)) // _BYTES


def _values(shard: Shard) -> int | None:
    if isinstance(shard, ArrayShard | TableShard):
        return shard.rows * len(shard.layout().names)
    if _unread(shard):
        return 0  # counted by its files
    rows = shard.rows if isinstance(shard, Source) else None
    return None if rows is None else rows * _WIDTH


def _unread(shard: Shard) -> TypeGuard[FileShard]:
    return isinstance(shard, FileShard) and shard.rows is None

"""Local: nodes on warm worker processes of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from talkoot.core.engine import Emit, Engine, Kind, Nodes, Run, Terms, ignore
from talkoot.core.errors import PlanError
from talkoot.core.plan import Plan
from talkoot.core.shard import Schema, Shard
from talkoot.data.samples.base import samples_of
from talkoot.engines.checkpoint import Checkpoint, wherever
from talkoot.engines.events import Slot
from talkoot.engines.inline import Inline
from talkoot.engines.lowering import by_ranks
from talkoot.engines.processes.nodes import LocalNodes
from talkoot.engines.processes.placement import ShardPlacement, deal, note_changed, setting
from talkoot.engines.processes.pool import DEEP, POOL


@final
@dataclass(frozen=True, slots=True)
class Local(Engine):
    """Nodes on worker processes of this machine; each worker hosts any number of nodes.

    Workers come from a fork server, are kept between fits, and end with this process. Rows of arrays lie in
    shared memory without a name. A worker uses one core. A worker that dies is replaced and its nodes' round
    is done again; where modules of torch are trained with a quorum, those nodes start afresh from the model
    that all share, with a new inner optimizer.

    Args:
        workers: number of processes; never more are used than there are nodes.
        silence: seconds without a sign of life after which a worker is given up.
        checkpoint: a folder for checkpoints of deep learning and boosted trees, or a `Checkpoint`; who runs
            the same plan again goes on from there, on however many workers.

    Raises:
        PlanError: a number that makes no sense, or a system that cannot fork.

    >>> import numpy as np, talkoot as tk
    >>> from sklearn.preprocessing import StandardScaler
    >>> X = np.arange(12.0).reshape(6, 2)
    >>> tk.fit(StandardScaler(), X, nodes=3, on=Local(2)).model.mean_.tolist()
    [5.0, 6.0]
    """

    workers: int
    silence: float = field(default=30.0, kw_only=True, repr=False)
    checkpoint: str | Path | Checkpoint | None = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if self.workers < 1 or self.silence <= 0:
            raise PlanError(f"{self} cannot work", cure="Take at least one worker and a positive silence=.")
        if not hasattr(os, "fork"):
            raise PlanError("this system cannot fork processes", cure="Take Inline(threads=...).")

    @property
    def width(self) -> int:
        """One node for each worker."""
        return self.workers

    def proposed(self, plan: Plan, kind: Kind, terms: Terms | None = None) -> Engine:
        """Threads of this process, where its nodes learn as one and workers would exchange sums."""
        del kind, terms
        return Inline(threads=self.workers) if plan.learner.pools else self

    def lower(
        self, plan: Plan, shards: Mapping[str, Shard], schema: Schema, emit: Emit = ignore
    ) -> Run | None:
        """Modules of torch are trained by workers that talk to each other, not through this process.

        Raises:
            TalkootError: a worker raised, or workers die again and again.
        """
        if not by_ranks(plan, shards, checkpoint=self.checkpoint is not None):
            return None
        DEEP.warm()  # it imports torch while this process imports the rest
        from talkoot.engines.ranks.supervision.local_ranks import train

        workers, checkpoint = min(self.workers, len(shards)), wherever(self.checkpoint)
        return train(plan, shards, schema, emit, workers=workers, silence=self.silence, checkpoint=checkpoint)

    @contextmanager
    def open(self, shards: Mapping[str, Shard], emit: Emit = ignore) -> Iterator[Nodes]:
        """Place the shards on workers, which start with the first request; give them back at the end.

        Raises:
            DataError: a shard does not pickle.
        """
        pool = DEEP if samples_of(shards) else POOL
        pool.warm()
        placement = ShardPlacement.pack(shards)
        note_changed(placement.changed, emit)
        shares = deal(placement.sizes, self.workers)
        nodes = LocalNodes(
            placement=placement,
            setting=setting(),
            pool=pool,
            slots=[Slot(number, frozenset(share)) for number, share in enumerate(shares)],
            silence=self.silence,
            emit=emit,
        )
        try:
            yield nodes
        finally:
            nodes.close()

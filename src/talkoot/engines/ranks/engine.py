"""Ranks: an SPMD group that already runs. Every rank runs the same program, and gets the same model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from talkoot.core.engine import Emit, Engine, Nodes, Run, ignore
from talkoot.core.errors import PlanError
from talkoot.core.plan import Plan
from talkoot.core.shard import Schema, Shard
from talkoot.data.samples.base import Samples
from talkoot.engines.checkpoint import Checkpoint, wherever
from talkoot.engines.ranks.checkpoint.saving import Saving
from talkoot.engines.ranks.collectives.group import Peers
from talkoot.engines.ranks.rounds import RankNodes
from talkoot.engines.ranks.steps import Steps, lowers
from talkoot.engines.ranks.supervision.environment import place
from talkoot.engines.ranks.supervision.job import agree_on_job
from talkoot.engines.ranks.supervision.membership import membership
from talkoot.engines.ranks.supervision.rank_state import RankState
from talkoot.engines.ranks.supervision.stop_request import Stopped, StopRequest


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Joined(Engine):
    """The ranks of a group that this process is one of.

    Args:
        group: the group.
        memory: what this rank holds from one epoch to the next.
        pause: whether this rank wants all to stop.
        checkpoint: where checkpoints go.
        compare: ranks may have been asked for different things, so compare what they do.
    """

    group: Peers
    memory: RankState = field(default_factory=RankState)
    pause: StopRequest = field(default_factory=StopRequest)
    checkpoint: Checkpoint | None = None
    compare: bool = False

    @contextmanager
    def open(self, shards: Mapping[str, Shard], emit: Emit = ignore) -> Iterator[Nodes]:
        """Nothing to place: every rank reads its nodes' rows."""
        deep = any(isinstance(shard, Samples) for shard in shards.values())
        saving = Saving.into(self.checkpoint if deep else None, emit)
        with saving.opened(self.group):
            nodes = RankNodes(shards, self.group, self.memory, self.pause, saving, emit, compare=self.compare)
            yield nodes
            nodes.finish()

    def lower(
        self, plan: Plan, shards: Mapping[str, Shard], schema: Schema, emit: Emit = ignore
    ) -> Run | None:
        """Meetings at every step become a live optimizer on every rank."""
        if not lowers(plan):
            return None
        steps = Steps(
            plan=plan,
            shards=shards,
            schema=schema,
            group=self.group,
            memory=self.memory,
            saving=Saving.into(self.checkpoint, emit),
            pause=self.pause,
            emit=emit,
        )
        return steps.run()


@final
@dataclass(frozen=True, slots=True)
class Ranks(Engine):
    """The ranks of a job that runs already: torchrun, Slurm, MPI, or an indexed job of Kubernetes.

    Every rank runs the same program, which says ``on=tk.Ranks()``. Which rank it is, and where the first one
    is, comes from the environment that the launcher has set (RANK and WORLD_SIZE, or what MPI and Slurm call
    them; MASTER_ADDR, MASTER_PORT). Without a launcher there is one rank, this process. Ranks are one
    trust domain: they unpickle each other's messages. All of them get the same model.

    Args:
        timeout: seconds that one rank may keep the others waiting.
        checkpoint: a folder that all ranks see, or a `Checkpoint`; who runs the same plan again goes
            on from there, on however many ranks.

    Raises:
        PlanError: the environment contradicts itself, or ranks differ in their plan or their data.
        NodeLost, NodeSilent, NodeFailed: a rank is gone, does not answer, or raised; it is named.

    >>> import numpy as np, talkoot as tk
    >>> from sklearn.preprocessing import StandardScaler
    >>> tk.fit(StandardScaler(), np.arange(12.0).reshape(6, 2), on=tk.Ranks()).model.mean_.tolist()
    [5.0, 6.0]
    """

    timeout: float = 60.0
    checkpoint: str | Path | Checkpoint | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.timeout <= 0:
            raise PlanError(f"{self} cannot work", cure="Take a positive timeout=.")

    @property
    def workers(self) -> int:
        """How many ranks there are."""
        return place().world

    @property
    def is_primary(self) -> bool:
        """Whether this is the rank that shows how it goes."""
        return place().rank == 0

    @contextmanager
    def open(self, shards: Mapping[str, Shard], emit: Emit = ignore) -> Iterator[Nodes]:
        """Join the others, once in the life of this process; every rank reads its own nodes' rows."""
        with self._joined() as joined, joined.open(shards, emit) as nodes:
            yield nodes

    def lower(
        self, plan: Plan, shards: Mapping[str, Shard], schema: Schema, emit: Emit = ignore
    ) -> Run | None:
        """Meetings at every step become a live optimizer on every rank."""
        if not lowers(plan):
            return None
        with self._joined() as joined:
            agree_on_job(plan, shards, joined.group)
            return joined.lower(plan, shards, schema, emit)

    @contextmanager
    def _joined(self) -> Iterator[Joined]:
        pause = StopRequest()
        try:
            with membership(self.timeout).members() as group, pause.on_sigterm():
                yield Joined(group=group, pause=pause, checkpoint=wherever(self.checkpoint), compare=True)
                group.numbers([0.0])  # who leaves early breaks what slower ranks still read
        except Stopped:
            raise SystemExit(143) from None

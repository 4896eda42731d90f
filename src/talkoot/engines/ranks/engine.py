"""Ranks: an SPMD group that already runs. Every rank runs the same program and gets the same model."""

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
from talkoot.data.samples.base import samples_of
from talkoot.engines.checkpoint import Checkpoint, wherever
from talkoot.engines.lowering import in_steps
from talkoot.engines.ranks.checkpoint.saving import Saving
from talkoot.engines.ranks.collectives.group import Peers
from talkoot.engines.ranks.rounds import RankNodes
from talkoot.engines.ranks.steps import Steps
from talkoot.engines.ranks.supervision.environment import place
from talkoot.engines.ranks.supervision.job import agree_on_job
from talkoot.engines.ranks.supervision.membership import membership
from talkoot.engines.ranks.supervision.rank_state import RankState
from talkoot.engines.ranks.supervision.stop_request import Stopped, StopRequest


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GroupEngine(Engine):
    """Runs plans on a group of ranks, of which this process is one."""

    group: Peers
    rank_state: RankState = field(default_factory=RankState)
    stop_request: StopRequest = field(default_factory=StopRequest)
    checkpoint: Checkpoint | None = None
    compare: bool = False  # ranks are programs of their own, which may differ

    @contextmanager
    def open(self, shards: Mapping[str, Shard], emit: Emit = ignore) -> Iterator[Nodes]:
        """Nothing to place: every rank reads its nodes' rows."""
        saving = Saving.into(self.checkpoint if samples_of(shards) else None, emit)
        with saving.locked(self.group):
            nodes = RankNodes(
                shards, self.group, self.rank_state, self.stop_request, saving, emit, compare=self.compare
            )
            yield nodes
            nodes.finish()

    def lower(
        self, plan: Plan, shards: Mapping[str, Shard], schema: Schema, emit: Emit = ignore
    ) -> Run | None:
        """Meetings at every step become a live optimizer on every rank."""
        if not in_steps(plan):
            return None
        steps = Steps(
            plan=plan,
            shards=shards,
            schema=schema,
            group=self.group,
            rank_state=self.rank_state,
            saving=Saving.into(self.checkpoint, emit),
            stop_request=self.stop_request,
            emit=emit,
        )
        return steps.run()


@final
@dataclass(frozen=True, slots=True)
class Ranks(Engine):
    """The ranks of a job that runs already: torchrun, Slurm, MPI, or an indexed job of Kubernetes.

    Every rank runs the same program, which has ``on=tk.Ranks()``. Its rank and the address of the first rank
    come from the environment that the launcher sets (RANK and WORLD_SIZE, or their names in MPI and Slurm;
    MASTER_ADDR, MASTER_PORT). Without a launcher this process is the only rank. Ranks trust each other: they
    unpickle each other's messages. All of them get the same model.

    Args:
        timeout: seconds that one rank may keep the others waiting.
        checkpoint: a folder that all ranks see, or a `Checkpoint`; the same plan, run again, goes on from
            there, on any number of ranks.

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
        """The number of ranks."""
        return place().world

    @property
    def is_primary(self) -> bool:
        """Whether this is the first rank, which shows progress."""
        return place().rank == 0

    @contextmanager
    def open(self, shards: Mapping[str, Shard], emit: Emit = ignore) -> Iterator[Nodes]:
        """Join the other ranks, once in a process; every rank reads its own nodes' rows."""
        with self._group_engine() as engine, engine.open(shards, emit) as nodes:
            yield nodes

    def lower(
        self, plan: Plan, shards: Mapping[str, Shard], schema: Schema, emit: Emit = ignore
    ) -> Run | None:
        """Meetings at every step become a live optimizer on every rank."""
        if not in_steps(plan):
            return None
        with self._group_engine() as engine:
            agree_on_job(plan, shards, engine.group)
            return engine.lower(plan, shards, schema, emit)

    @contextmanager
    def _group_engine(self) -> Iterator[GroupEngine]:
        stop_request = StopRequest()
        try:
            with membership(self.timeout).members() as group, stop_request.on_sigterm():
                yield GroupEngine(
                    group=group,
                    stop_request=stop_request,
                    checkpoint=wherever(self.checkpoint),
                    compare=True,
                )
                group.gather_numbers([0.0])  # an early leave breaks what slower ranks still read
        except Stopped:
            raise SystemExit(143) from None

"""Ranks: an SPMD group that already runs. Every rank runs the same program, and gets the same model."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, final

import torch
import torch.distributed as dist

from talkoot.core.engine import Engine, Listener, Nodes, Run, ignore
from talkoot.core.errors import NodeSilent, PlanError
from talkoot.core.plan import Plan
from talkoot.core.shard import Schema, Shard
from talkoot.engines.checkpoint import Checkpoint, wherever
from talkoot.engines.ranks.environment import Place, place
from talkoot.engines.ranks.group import Alone, Group, GroupBroken, Peers
from talkoot.engines.ranks.memory import Memory
from talkoot.engines.ranks.pause import Pause, Paused
from talkoot.engines.ranks.rounds import RankNodes
from talkoot.engines.ranks.saving import Saving
from talkoot.engines.ranks.steps import Steps, lowers
from talkoot.engines.ranks.verdict import Verdict


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Joined(Engine):
    """The ranks of a group that this process is one of.

    Args:
        group: the group.
        memory: what this rank holds from one epoch to the next.
        pause: whether this rank wants all to stop.
        checkpoint: where checkpoints go.
    """

    group: Peers
    memory: Memory = field(default_factory=Memory)
    pause: Pause = field(default_factory=Pause)
    checkpoint: Checkpoint | None = None

    @contextmanager
    def open(self, plan: Plan, shards: Mapping[str, Shard], listen: Listener = ignore) -> Iterator[Nodes]:
        """Nothing to place: every rank has the plan and reads its nodes' rows."""
        del listen
        yield RankNodes(plan, shards, self.group, self.memory)

    def whole(
        self, plan: Plan, shards: Mapping[str, Shard], schema: Schema, listen: Listener = ignore
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
            saving=Saving.into(self.checkpoint, plan.digest),
            pause=self.pause,
            listen=listen,
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
        PlanError: the environment contradicts itself.
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
    def speaks(self) -> bool:
        """Whether this is the rank that shows how it goes."""
        return place().rank == 0

    @contextmanager
    def open(self, plan: Plan, shards: Mapping[str, Shard], listen: Listener = ignore) -> Iterator[Nodes]:
        """Join the others, once in the life of this process; every rank reads its own nodes' rows."""
        with self._joined() as joined, joined.open(plan, shards, listen) as nodes:
            yield nodes

    def whole(
        self, plan: Plan, shards: Mapping[str, Shard], schema: Schema, listen: Listener = ignore
    ) -> Run | None:
        """Meetings at every step become a live optimizer on every rank."""
        with self._joined() as joined:
            return joined.whole(plan, shards, schema, listen)

    @contextmanager
    def _joined(self) -> Iterator[Joined]:
        here = place()
        store, group = _join(here, self.timeout)
        pause, verdict = Pause(), Verdict(store, here)
        try:
            with pause.on_sigterm():
                yield Joined(group=group, pause=pause, checkpoint=wherever(self.checkpoint))
        except Paused:
            raise SystemExit(143) from None
        except GroupBroken as error:
            group.close()
            raise verdict.on_others(error) from error
        except Exception as error:
            verdict.own(error)
            group.close()
            raise


@lru_cache(maxsize=1)
def _join(here: Place, timeout: float) -> tuple[Any, Peers]:
    """The group that the environment speaks of; joined once, left at exit."""
    if here.world == 1:
        return None, Alone()
    if torch.cuda.is_available():
        torch.cuda.set_device(here.local)
    try:
        store = dist.TCPStore(
            here.host,
            here.port,
            here.world,
            is_master=here.rank == 0 and not here.served,
            timeout=timedelta(seconds=timeout),
        )
    except (dist.DistError, RuntimeError) as error:
        raise NodeSilent(
            f"the first rank, at {here.host}:{here.port}, cannot be reached: {error}",
            node=f"rank {here.rank}",
            step="joining",
            cure="See whether it runs, and whether MASTER_ADDR and MASTER_PORT are the same for all ranks.",
        ) from error
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    mine = dist.PrefixStore(f"attempt {attempt}", store)
    group = Group(mine, epoch=0, rank=here.rank, world=here.world, timeout=timeout)
    atexit.register(group.close)
    return mine, group

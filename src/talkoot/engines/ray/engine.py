"""Ray: nodes on the actors of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final

from talkoot.core.engine import Emit, Engine, Nodes, Run, ignore
from talkoot.core.errors import PlanError
from talkoot.core.plan import Plan
from talkoot.core.shard import Schema, Shard
from talkoot.engines.checkpoint import Checkpoint, wherever
from talkoot.engines.lowering import by_ranks
from talkoot.engines.ray.resources import Resources


@final
@dataclass(frozen=True, slots=True)
class Ray(Engine):
    """Nodes on actors of a Ray cluster; each actor hosts any number of nodes.

    Joins the cluster at `address`, or at $RAY_ADDRESS, or starts one on this machine, which ends with this
    process. Actors stay for a minute after a fit. Plan, rows and models go through the object store. An actor
    that dies is replaced, and its nodes' round is done again.

    Args:
        workers: number of actors; no more are used than there are nodes.
        address: the cluster, such as ``"10.0.0.1:6379"``.
        cpus: cores for each actor; may be less than one where actors mostly wait.
        gpus: GPUs for each actor.
        silence: seconds without a sign of life after which an actor is given up.
        checkpoint: a folder that all machines see, for checkpoints of deep learning, or a `Checkpoint`; the
            same plan, run again, goes on from there, on any number of actors.
        runtime_env: what Ray installs on the machines for the actors, such as ``{"pip": ["einops"]}`` or, for
            modules of your own, ``{"py_modules": ["mine"]}``; see Ray's "Environment dependencies".

    Raises:
        PlanError: a number is out of range, or Ray is not installed.

    >>> import talkoot as tk
    >>> tk.Ray(8, cpus=2)
    Ray(workers=8, cpus=2)
    """

    workers: int
    address: str | None = field(default=None, kw_only=True)
    cpus: float = field(default=1, kw_only=True)
    gpus: float = field(default=0, kw_only=True)
    silence: float = field(default=30.0, kw_only=True)
    checkpoint: str | Path | Checkpoint | None = field(default=None, kw_only=True)
    runtime_env: Mapping[str, Any] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if (
            self.workers < 1
            or min(self.cpus, self.gpus) < 0
            or not self.cpus + self.gpus
            or self.silence <= 0
        ):
            cure = "Take at least one worker, some cpus= or gpus=, and a positive silence=."
            raise PlanError(f"{self} cannot work", cure=cure)
        if self.runtime_env is not None and not isinstance(self.runtime_env, Mapping):
            raise PlanError(
                f"runtime_env= is a {type(self.runtime_env).__name__}",
                cure='Write a dict as Ray takes it, such as runtime_env={"pip": ["einops"]}.',
            )
        if find_spec("ray") is None:
            raise PlanError("Ray is not installed", cure="pip install 'talkoot[ray]'")

    def __repr__(self) -> str:
        """Arguments that are not defaults; of the environment only names, as it may hold secrets."""
        shown = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        if self.runtime_env is not None:
            shown["runtime_env"] = dict.fromkeys(self.runtime_env, ...)
        return f"Ray({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def _resources(self) -> Resources:
        return Resources(workers=self.workers, cpus=self.cpus, gpus=self.gpus, runtime_env=self.runtime_env)

    @property
    def width(self) -> int:
        """One node for each worker."""
        return self.workers

    def lower(
        self, plan: Plan, shards: Mapping[str, Shard], schema: Schema, emit: Emit = ignore
    ) -> Run | None:
        """Train a torch module by actors that exchange gradients directly, not through Ray.

        An actor that dies is replaced where there is room; until then the others go on without it.

        Raises:
            TalkootError: an actor raised, actors die again and again, or none can be started.
        """
        if not by_ranks(plan, shards, checkpoint=self.checkpoint is not None):
            return None
        from talkoot.engines.ray.ranks import train

        return train(
            plan,
            shards,
            schema,
            emit,
            resources=self._resources,
            address=self.address,
            silence=self.silence,
            checkpoint=wherever(self.checkpoint),
        )

    @contextmanager
    def open(self, shards: Mapping[str, Shard], emit: Emit = ignore) -> Iterator[Nodes]:
        """Place the shards on actors, which stay for the next fit.

        Raises:
            PlanError: there is no cluster, or it is too small.
            DataError: a shard does not pickle.
            NodeLost: the cluster has no room, or actors do not start there.
        """
        from talkoot.engines.ray.nodes import actor_nodes

        resources, silence = self._resources, self.silence
        with actor_nodes(shards, emit, resources=resources, address=self.address, silence=silence) as nodes:
            yield nodes

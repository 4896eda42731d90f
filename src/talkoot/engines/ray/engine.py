"""Ray: nodes on the actors of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from talkoot.core.engine import Emit, Engine, Nodes, Run, ignore
from talkoot.core.errors import PlanError
from talkoot.core.plan import Plan
from talkoot.core.shard import Schema, Shard
from talkoot.engines.checkpoint import Checkpoint

if TYPE_CHECKING:
    from talkoot.engines.ray.actor_pool import Need


@final
@dataclass(frozen=True, slots=True)
class Ray(Engine):
    """Nodes on actors of a Ray cluster; each actor hosts any number of nodes.

    Joins the cluster at `address`, or at $RAY_ADDRESS, or starts one on this machine, which ends with this
    process. Actors are kept for a minute between fits. Plan, rows and models travel through the object store.
    An actor that dies is replaced, and its nodes' round is done again.

    Args:
        workers: number of actors; never more are used than there are nodes.
        address: the cluster, such as ``"10.0.0.1:6379"``.
        cpus: cores for each actor, also less than one where actors mostly wait.
        gpus: GPUs for each actor.
        silence: seconds without a sign of life after which an actor is given up.
        checkpoint: a folder that all machines see, for checkpoints of deep learning, or a `Checkpoint`; who
            runs the same plan again goes on from there, on however many actors.
        runtime_env: what Ray brings to the machines for the actors, such as ``{"pip": ["einops"]}`` or, for
            modules of your own, ``{"py_modules": ["mine"]}``; see Ray's "Environment dependencies".

    Raises:
        PlanError: a number that makes no sense, or Ray is not installed.

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
        """Only what is not as usual; of the environment its parts' names, as there may be secrets in it."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        if self.runtime_env is not None:
            given["runtime_env"] = dict.fromkeys(self.runtime_env, ...)
        return f"Ray({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    def need(self, workers: int) -> Need:
        """What is asked of a cluster for so many actors."""
        from talkoot.engines.ray.actor_pool import Need

        return Need(workers=workers, cpus=self.cpus, gpus=self.gpus, runtime_env=self.runtime_env)

    def lower(
        self, plan: Plan, shards: Mapping[str, Shard], schema: Schema, emit: Emit = ignore
    ) -> Run | None:
        """Modules of torch are trained by actors that talk to each other, not through Ray.

        An actor that dies is replaced where there is room; until then the others go on without it.

        Raises:
            TalkootError: an actor raised, or actors die again and again, or there are none to be had.
        """
        if not plan.learner.samples or getattr(plan.sync, "quorum", None) is not None:
            return None
        from talkoot.engines.ray.ranks import train

        return train(plan, shards, schema, emit, engine=self)

    @contextmanager
    def open(self, shards: Mapping[str, Shard], emit: Emit = ignore) -> Iterator[Nodes]:
        """Place the shards on actors; keep the actors for the next fit.

        Raises:
            PlanError: there is no cluster, or one that is too small.
            DataError: a shard does not pickle.
            NodeLost: the cluster has no room, or actors do not start there.
        """
        from talkoot.engines.ray.nodes import actor_nodes

        with actor_nodes(shards, emit, engine=self) as nodes:
            yield nodes

"""Placement groups with their actors, which stay for some time between fits."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, final

import ray
from ray.exceptions import RayError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from talkoot.core.errors import NodeLost, PlanError
from talkoot.engines.ray.actor import ACTOR
from talkoot.engines.ray.cluster import CLUSTER
from talkoot.engines.ray.resources import Resources
from talkoot.engines.ray.worker_handle import WorkerHandle

KEEP = 60.0  # seconds that idle actors stay
ROOM = 60.0  # seconds until a cluster must have room; one that grows may need them


@final
@dataclass(slots=True, eq=False)
class ActorSet:
    """A placement group and its actors; `idle` are those without work, by number."""

    resources: Resources
    session: str
    group: Any
    idle: dict[int, WorkerHandle] = field(default_factory=dict)

    def worker(self, number: int) -> WorkerHandle:
        """The idle actor with this number, or a new one."""
        if number in self.idle:
            return self.idle.pop(number)
        strategy = PlacementGroupSchedulingStrategy(self.group, placement_group_bundle_index=number)
        options: dict[str, Any] = {"num_cpus": self.resources.cpus, "num_gpus": self.resources.gpus or None}
        if self.resources.runtime_env is not None:
            options["runtime_env"] = dict(self.resources.runtime_env)
        actor = ACTOR.options(scheduling_strategy=strategy, max_restarts=0, **options)
        return WorkerHandle(actor.remote(max(1, int(self.resources.cpus))), number)

    def put_back(self, worker: WorkerHandle) -> None:
        """Have an actor drop what it holds; it is idle then."""
        worker.clear()
        self.idle[worker.number] = worker

    def free(self) -> None:
        """End the actors and remove the placement group."""
        if ray.is_initialized() and CLUSTER.session == self.session:
            with suppress(RayError):
                remove_placement_group(self.group)


@final
@dataclass(slots=True, eq=False)
class ActorPool:
    """The idle actors of this process."""

    _idle: list[ActorSet] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.Lock)
    _timer: threading.Timer | None = None

    def lease(self, resources: Resources) -> ActorSet:
        """Actors for the caller alone.

        Raises:
            PlanError: the cluster is too small.
            NodeLost: it has no room now.
        """
        with self._lock:
            for actors in self._idle:
                if (actors.resources, actors.session) == (resources, CLUSTER.session):
                    self._idle.remove(actors)
                    return actors
        self.clear()  # idle ones of other sizes take room
        return ActorSet(resources, CLUSTER.session, _reserve(resources))

    def give_back(self, actors: ActorSet) -> None:
        """Keep actors for the next fit, for `KEEP` seconds."""
        with self._lock:
            self._idle.append(actors)
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(KEEP, self.clear)
            self._timer.daemon = True
            self._timer.start()

    def clear(self) -> None:
        """End all idle actors."""
        with self._lock:
            idle, self._idle = self._idle, []
        for actors in idle:
            actors.free()


ACTORS = ActorPool()


def _reserve(resources: Resources) -> Any:
    """A placement group that has its resources, on few machines if possible."""
    shortage = resources.shortage(_available())
    if shortage and not CLUSTER.grows:
        raise _too_small(shortage)
    group = placement_group([resources.each] * resources.workers, strategy="PACK")
    if group.wait(ROOM):
        return group
    remove_placement_group(group)
    if shortage := resources.shortage(_available()):
        raise _too_small(shortage)
    raise NodeLost(
        f"the cluster had no room for {resources.workers} workers of {resources.each} within {ROOM:g} s",
        cure="Wait until others have finished, see `ray status`, or take fewer workers.",
    )


def _available() -> dict[str, float]:
    """The resources of the whole cluster, by Ray's names."""
    api: Any = ray
    resources: dict[str, float] = api.cluster_resources()
    return resources


def _too_small(shortage: str) -> PlanError:
    return PlanError(shortage, cure="Take fewer workers, or less for each: Ray(n, cpus=0.5).")

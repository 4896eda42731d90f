"""Where actors are: a placement group with the actors in it, kept warm between fits."""

from __future__ import annotations

import threading
from collections.abc import Mapping
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
from talkoot.engines.ray.worker_handle import WorkerHandle

KEEP = 60.0  # seconds that idle actors hold their place
ROOM = 60.0  # seconds until a cluster must have room; one that can grow may need them


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What is asked of a cluster.

    Args:
        workers: number of actors.
        cpus: for each.
        gpus: for each.
        runtime_env: what Ray brings to the machines for them.
    """

    workers: int
    cpus: float
    gpus: float
    runtime_env: Mapping[str, Any] | None = None

    @property
    def each(self) -> dict[str, float]:
        """The resources of one actor, by Ray's names."""
        return {name: count for name, count in (("CPU", self.cpus), ("GPU", self.gpus)) if count}

    def lacking(self, there: Mapping[str, float]) -> str | None:
        """What is there, and too little, in words.

        >>> Need(workers=4, cpus=1, gpus=0).lacking({"CPU": 2.0})
        'the cluster has 2 CPUs, and 4 workers of 1 were asked for'
        """
        for name, count in self.each.items():
            if there.get(name, 0) < self.workers * count:
                has = f"{there.get(name, 0):g} {name}s"
                return f"the cluster has {has}, and {self.workers} workers of {count:g} were asked for"
        return None


@final
@dataclass(slots=True, eq=False)
class ActorSet:
    """A place for each of some actors.

    Args:
        need: their number and resources.
        session: the connection that they belong to.
        group: the placement group.
        idle: actors that have nothing to do, by number of their place.
    """

    need: Need
    session: str
    group: Any
    idle: dict[int, WorkerHandle] = field(default_factory=dict)

    def hand(self, number: int) -> WorkerHandle:
        """The actor of a place: the one that waits there, or another."""
        if number in self.idle:
            return self.idle.pop(number)
        strategy = PlacementGroupSchedulingStrategy(self.group, placement_group_bundle_index=number)
        options: dict[str, Any] = {"num_cpus": self.need.cpus, "num_gpus": self.need.gpus or None}
        if self.need.runtime_env is not None:
            options["runtime_env"] = dict(self.need.runtime_env)
        actor = ACTOR.options(scheduling_strategy=strategy, max_restarts=0, **options)
        return WorkerHandle(actor.remote(max(1, int(self.need.cpus))), number)

    def free(self) -> None:
        """End the actors and give up the place."""
        if ray.is_initialized() and CLUSTER.session == self.session:
            with suppress(RayError):
                remove_placement_group(self.group)


@final
@dataclass(slots=True, eq=False)
class ActorPool:
    """The berths of this process that nobody uses just now."""

    _idle: list[ActorSet] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.Lock)
    _timer: threading.Timer | None = None

    def lease(self, need: Need) -> ActorSet:
        """Berths for the caller alone.

        Raises:
            PlanError: the cluster is too small.
            NodeLost: it has no room now.
        """
        with self._lock:
            for actors in self._idle:
                if (actors.need, actors.session) == (need, CLUSTER.session):
                    self._idle.remove(actors)
                    return actors
        self.clear()  # others hold room
        return ActorSet(need, CLUSTER.session, _room(need))

    def give_back(self, actors: ActorSet) -> None:
        """Keep berths for the next fit, for a while."""
        with self._lock:
            self._idle.append(actors)
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(KEEP, self.clear)
            self._timer.daemon = True
            self._timer.start()

    def clear(self) -> None:
        """Give up all that is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for actors in idle:
            actors.free()


ACTORS = ActorPool()


def _room(need: Need) -> Any:
    """A placement group that has its resources: on few machines if that can be."""
    lack = need.lacking(_there())
    if lack and not CLUSTER.grows:
        raise _too_small(lack)
    group = placement_group([need.each] * need.workers, strategy="PACK")
    if group.wait(ROOM):
        return group
    remove_placement_group(group)
    if lack := need.lacking(_there()):
        raise _too_small(lack)
    raise NodeLost(
        f"the cluster had no room for {need.workers} workers of {need.each} within {ROOM:g} s",
        cure="Wait until others have finished, see `ray status`, or ask for fewer workers.",
    )


def _there() -> dict[str, float]:
    """The resources of the whole cluster, by Ray's names."""
    api: Any = ray
    resources: dict[str, float] = api.cluster_resources()
    return resources


def _too_small(lack: str) -> PlanError:
    return PlanError(lack, cure="Take fewer workers, or less for each: Ray(n, cpus=0.5).")

"""The actors that a run requests from a cluster, and the resources of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a run requests from a cluster."""

    workers: int  # number of actors
    cpus: float  # for each
    gpus: float  # for each
    runtime_env: Mapping[str, Any] | None = None  # what Ray installs on the machines for them

    @property
    def each(self) -> dict[str, float]:
        """The resources of one actor, by Ray's names."""
        return {name: count for name, count in (("CPU", self.cpus), ("GPU", self.gpus)) if count}

    def shortage(self, available: Mapping[str, float]) -> str | None:
        """The first resource of which a cluster has too little, in words.

        >>> Resources(workers=4, cpus=1, gpus=0).shortage({"CPU": 2.0})
        'the cluster has 2 CPUs, and 4 workers of 1 are required'
        """
        for name, count in self.each.items():
            if available.get(name, 0) < self.workers * count:
                has = f"{available.get(name, 0):g} {name}s"
                return f"the cluster has {has}, and {self.workers} workers of {count:g} are required"
        return None

"""Rounds of a federation on this machine: a coordinator, sites and a researcher over mutual TLS.

    python benchmarks/federation.py [--sites 3] [--rounds 7]

A round sends a model of the given size to every site and an update of that size back; its time is the median.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import talkoot as tk
from talkoot.core.learner import Learner
from talkoot.core.outer import Add
from talkoot.core.update import Update
from talkoot.data.roles import Roles
from talkoot.data.tables.memory import from_memory

SIZES = (1 << 10, 1 << 20, 40 << 20)  # bytes of the model, and of each update


@dataclass(frozen=True)
class Send(Learner):
    """A model of a given size; each site sends as many numbers back."""

    size: int
    kind = "averaged"

    def init(self, schema: Any, rng: Any) -> Any:
        return {"w": np.zeros(self.size // 8)}

    def work(self, model: Any, local: None, shard: Any, ctx: Any) -> Any:
        return Update(values={"w": model["w"] + 1.0}, weight=1.0), None

    def outer(self) -> Any:
        return Add()

    def finish(self, model: Any) -> Any:
        return model["w"]


class Rows:
    """A few rows."""

    def __init__(self, site: str) -> None:
        self.site = site

    def open(self, name: str, target: str | None) -> Any:
        return from_memory(self.site, np.eye(3), Roles())


class Open:
    """A desk that approves all."""

    def decide(self, proposal: Any) -> Any:
        from talkoot.engines.federation.site.site import Decision

        return Decision("approved")


def party(kind: str, folder: Path) -> None:
    from talkoot.engines.federation.coordinator import program
    from talkoot.engines.federation.identity.identity import Identity
    from talkoot.engines.federation.journal import Journal
    from talkoot.engines.federation.settings import SiteSettings, dialling, settings
    from talkoot.engines.federation.site.site import Site
    from talkoot.engines.federation.site.worker import Worker

    if kind == "coordinator":
        asyncio.run(program.serve(folder, lambda line: print(line, flush=True)))
        return
    identity = Identity.load(folder)
    worker = Worker(identity.name, Rows(identity.name), Journal(folder / "journal"), {"Send": Send})
    site = Site(dialling(identity, settings(folder, SiteSettings)), worker, Open(), lambda line: None)
    asyncio.run(site.run())


def make(folder: Path, sites: list[str]) -> None:
    """Certificates and settings of all."""
    from talkoot.engines.federation.identity import identity, requests
    from talkoot.engines.federation.identity.authority import Authority

    authority = Authority.make(folder / "authority", "bench")
    names: list[tuple[str, Any]] = [("hub", "coordinator"), ("ada", "researcher")]
    for name, role in [*names, *((site, "site") for site in sites)]:
        path, _ = identity.request(folder / name, name, role)
        approval = authority.approve(requests.load(path))
        path.with_suffix(identity.APPROVED).write_bytes(approval.to_bytes())


def measure(folder: Path, size: int, rounds: int) -> dict[str, Any]:
    plan = tk.Plan(Send(size), sync=tk.rounds(rounds))
    on = tk.Federation(folder / "ada", registered={"Send": Send})
    began = time.perf_counter()
    fit = tk.run(plan, tk.dataset("toy"), on=on)
    seconds = [outcome.seconds for outcome in fit.history[1:]]
    return {
        "bytes": size,
        "round": statistics.median(seconds),
        "fastest": min(seconds),
        "run": time.perf_counter() - began,
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--party", nargs=2, help=argparse.SUPPRESS)
    options.add_argument("--sites", type=int, default=3)
    options.add_argument("--rounds", type=int, default=7)
    found = options.parse_args()
    if found.party:
        party(found.party[0], Path(found.party[1]))
        return
    sites = [f"site{number}" for number in range(found.sites)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make(folder, sites)
        (folder / "hub" / "coordinator.toml").write_text('listen = "127.0.0.1:0"\n')
        script = [sys.executable, __file__, "--party"]
        hub = subprocess.Popen([*script, "coordinator", folder / "hub"], stdout=subprocess.PIPE, text=True)
        assert hub.stdout is not None
        port = hub.stdout.readline().split(";")[0].rpartition(":")[2]
        parties = [hub]
        try:
            for name in ("ada", *sites):
                kind = "researcher" if name == "ada" else "site"
                (folder / name / f"{kind}.toml").write_text(f'coordinator = "127.0.0.1:{port}"\n')
                if kind == "site":
                    parties.append(subprocess.Popen([*script, "site", folder / name]))
            while sum("is connected" in hub.stdout.readline() for _ in sites) < len(sites):
                pass
            measure(folder, 1 << 10, 2)
            for size in SIZES:
                print(json.dumps({"sites": len(sites), **measure(folder, size, found.rounds)}), flush=True)
        finally:
            for process in parties:
                process.terminate()


if __name__ == "__main__":
    main()

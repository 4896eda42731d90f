"""Memory of a coordinator with many sites: real streams, simulated sites that send large answers at once.

    python benchmarks/federation_crowd.py [--sites 200] [--megabytes 40]

All sites run in one process: they throw the question away, and all send the same frame.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from federation import Send, make, program

import talkoot as tk
from talkoot.core.round import Round
from talkoot.core.update import Update
from talkoot.engines.federation.consent.desk import Answer
from talkoot.engines.federation.identity.identity import CHANNEL_OPTIONS, Identity
from talkoot.engines.federation.link.dialling import Dialling
from talkoot.engines.federation.link.exchange import Exchange
from talkoot.engines.federation.link.messages import Frame
from talkoot.engines.federation.link.transfer import Transfers
from talkoot.engines.federation.models import Models
from talkoot.engines.federation.site.site import Site
from talkoot.engines.federation.site.worker import Reply
from talkoot.formats.answers import answer_to_bytes


class Nowhere:
    """A frame that is thrown away."""

    def write(self, offset: int, data: memoryview) -> None:
        pass

    def view(self) -> memoryview:
        return memoryview(b"")


class Simulated:
    """A worker that answers each round with the same frame, and a desk that approves all."""

    def __init__(self, node: str, reply: Reply) -> None:
        self.node, self.reply = node, reply

    def known(self, task: Any) -> None:
        return None

    def answer(self, *given: Any) -> Reply:
        return self.reply

    def forget(self, run: str) -> None:
        pass

    def decide(self, signed: Any) -> Answer:
        return Answer("approved")

    def consent(self, run: str) -> None:
        return None


def crowd(folder: Path, port: int, sites: list[str], size: int) -> None:
    """All sites, in this process."""
    data = answer_to_bytes(Update(values={"w": np.ones(size // 8)}, weight=1.0))
    reply = Reply(Frame.of(data), data)

    async def run() -> None:
        made = []
        for name in sites:
            identity, worker = Identity.load(folder / name), Simulated(name, reply)
            dialling = Dialling(address=f"127.0.0.1:{port}", identity=identity, options=CHANNEL_OPTIONS)
            exchange = Exchange(Transfers(allocate=lambda size: Nowhere()))
            made.append(Site(dialling, worker, worker, Models(worker), lambda line: None, exchange).run())
        await asyncio.gather(*made)

    asyncio.run(run())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sites", type=int, default=200)
    options.add_argument("--megabytes", type=int, default=40)
    found = options.parse_args()
    size, sites = found.megabytes << 20, [f"site{number}" for number in range(found.sites)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make(folder, sites)
        (folder / "hub" / "coordinator.toml").write_text('listen = "127.0.0.1:0"\n')
        hub = program("coordinator", folder / "hub")
        assert hub.stdout is not None
        port = int(hub.stdout.readline().split(";")[0].rpartition(":")[2])
        (folder / "ada" / "researcher.toml").write_text(f'coordinator = "127.0.0.1:{port}"\n')
        process = multiprocessing.get_context("spawn").Process(target=crowd, args=(folder, port, sites, size))
        process.start()
        peak = [0]

        def look() -> None:
            while hub.poll() is None:
                peak[0] = max(peak[0], psutil.Process(hub.pid).memory_info().rss)
                time.sleep(0.05)

        try:
            for _ in sites:
                while "is connected" not in hub.stdout.readline():
                    pass
            threading.Thread(target=hub.stdout.read, daemon=True).start()
            threading.Thread(target=look, daemon=True).start()
            seconds = hold(folder, size)
            print(json.dumps({"sites": len(sites), "bytes": size, "round": seconds, "peak": peak[0]}))
        finally:
            process.terminate()
            hub.terminate()


def hold(folder: Path, size: int) -> float:
    """One round of all sites."""
    plan = tk.Plan(Send(size), sync=tk.rounds(1))
    on = tk.Federation(folder / "ada", registered={"Send": Send})
    shards = on.shards(tk.dataset("toy"))
    with on.proposed(plan, "fit").open(shards) as nodes:
        nodes.place(plan)
        began = time.perf_counter()
        merged = nodes.round(Round(index=0, cohort=nodes.names), {"w": np.zeros(size // 8)})
        assert not merged.failed, next(iter(merged.failed.values()))
        assert (merged.update.values["w"] == len(nodes.names)).all()
        return time.perf_counter() - began


if __name__ == "__main__":
    main()

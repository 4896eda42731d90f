"""Rounds of a federation on this machine: a coordinator, sites and a researcher over mutual TLS.

    python benchmarks/federation.py [--sites 3] [--rounds 7] [--flower PYTHON]

A round sends a model of the given size to every site and an update of that size back. With the Python of an
environment that has Flower (pip install flwr), its deployment engine does the same in the same run, and the
table goes to benchmarks/results/federation_rounds.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from federation_peer import flower, rounds_of

import talkoot as tk
from talkoot.core.learner import Learner
from talkoot.core.outer import Add
from talkoot.core.update import Update

RESULTS = Path(__file__).parent / "results" / "federation_rounds.md"
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


SITE = """
coordinator = "127.0.0.1:{port}"
[data.toy]
files = "rows.parquet"
[learners]
Send = "federation:Send"
"""
POLICY = """
researchers = ["ada"]
data_sets = ["toy"]
learners = ["Send"]
purposes = ["*"]
secure_sum = false
automatic = ["fit"]
minimum_rows = 5
minimum_sites = 2
rounds_a_day = 1000000
"""


def program(kind: str, folder: Path) -> Popen[str]:
    """A coordinator or a site."""
    command = "import sys; from talkoot.cli import main; sys.exit(main())"
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    return Popen(
        [sys.executable, "-c", command, *kind.split(), folder],
        stdout=PIPE if kind == "coordinator" else DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


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


def measure(folder: Path, size: int, rounds: int) -> list[float]:
    """Seconds of each round but the first."""
    plan = tk.Plan(Send(size), sync=tk.rounds(rounds))
    fit = tk.run(plan, tk.dataset("toy"), on=tk.Federation(folder / "ada", registered={"Send": Send}))
    return [outcome.seconds for outcome in fit.history[1:]]


@contextmanager
def talkoot(folder: Path, sites: list[str]) -> Iterator[None]:
    """A coordinator and sites that are connected."""
    make(folder, sites)
    (folder / "hub" / "coordinator.toml").write_text('listen = "127.0.0.1:0"\n')
    hub = program("coordinator", folder / "hub")
    assert hub.stdout is not None
    port = hub.stdout.readline().split(";")[0].rpartition(":")[2]
    (folder / "ada" / "researcher.toml").write_text(f'coordinator = "127.0.0.1:{port}"\n')
    parties = [hub]
    try:
        for name in sites:
            (folder / name / "site.toml").write_text(SITE.format(port=port))
            (folder / name / "policy.toml").write_text(POLICY)
            pq.write_table(pa.table({"x": range(10)}), folder / name / "rows.parquet")
            parties.append(program("site run", folder / name))
        for _ in sites:
            while "is connected" not in hub.stdout.readline():
                pass
        measure(folder, 1 << 10, 2)  # warm
        yield
    finally:
        for process in parties:
            process.terminate()


def table(found: dict[str, dict[int, list[float]]], sites: int) -> str:
    """The medians, in seconds."""
    versions = ", ".join(f"{package} {version(package)}" for package in ("talkoot", "grpcio", "cryptography"))
    lines = [
        "# A round between organisations",
        "",
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, {versions}.",
        f"{sites} sites, each a process of its own, over TLS on",
        "loopback: a model of a size goes to each, an update of that size back. Medians, and the fastest.",
        "",
        "| | " + " | ".join(f"{size >> 10:,} kB" for size in SIZES) + " |",
        "|---|" + "---:|" * len(SIZES),
    ]
    for who, took in found.items():
        cells = [
            f"{statistics.median(took[s]):.3f} s ({min(took[s]):.3f})" if s in took else "" for s in SIZES
        ]
        lines.append(f"| {who} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sites", type=int, default=3)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--flower", type=Path, help="the Python of an environment that has flwr")
    given = options.parse_args()
    found: dict[str, dict[int, list[float]]] = {"Talkoot": {}}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with talkoot(folder, [f"site{number}" for number in range(given.sites)]):
            for size in SIZES:
                found["Talkoot"][size] = measure(folder, size, given.rounds)
                print(
                    f"Talkoot, {size:,} bytes: {statistics.median(found['Talkoot'][size]):.3f} s", flush=True
                )
        if given.flower is not None:
            found["Flower, deployment engine"] = flower_rounds(given.flower, folder, given.sites)
    text = table(found, given.sites)
    if given.flower is not None:
        RESULTS.write_text(text)
    print(text)


def flower_rounds(python: Path, folder: Path, nodes: int) -> dict[int, list[float]]:
    """Rounds of Flower at each size; few, as they are long."""
    found = {}
    with flower(python, folder, nodes) as env:
        for size in SIZES[1:]:
            found[size] = rounds_of(python, env, folder, size=size, rounds=3, nodes=nodes)
            print(f"Flower, {size:,} bytes: {statistics.median(found[size]):.3f} s", flush=True)
    return found


if __name__ == "__main__":
    from federation import main  # by the name under which the sites import it

    main()

"""What a round costs when there is nothing to do: the price of an engine.

    python benchmarks/rounds.py [--rounds 3000]

Four nodes with ten rows count them. The table goes to benchmarks/results/rounds.md, the raw numbers to
rounds.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import talkoot as tk
from talkoot.core.learner import Kind, Learner
from talkoot.core.outer import Add, Outer
from talkoot.core.plan import Plan
from talkoot.core.round import Round
from talkoot.core.update import Update
from talkoot.engines.inline import Inline
from talkoot.engines.local import Local
from talkoot.engines.processes.pool import POOL

RESULTS = Path(__file__).parent / "results"
NODES = 4


@dataclass(frozen=True, slots=True)
class Count(Learner):
    kind: ClassVar[Kind] = "averaged"

    def init(self, schema: Any, rng: np.random.Generator) -> Any:
        return {"rows": np.zeros(1)}

    def work(self, model: Any, local: None, shard: Any, ctx: Any) -> tuple[Update, None]:
        rows = sum(len(block) for block in shard.blocks())
        return Update(values={"rows": np.array([float(rows)])}, weight=1.0), None

    def outer(self) -> Outer:
        return Add()

    def finish(self, model: Any) -> Any:
        return model


def measure(engine: Any, rounds: int) -> dict[str, float]:
    """Milliseconds: of the first opening with its round, of a warm one, and of a round."""
    shards = tk.shards(np.ones((10 * NODES, 3)), nodes=NODES)
    plan, model, cohort = Plan(Count(), sync=tk.rounds(1)), {"rows": np.zeros(1)}, tuple(shards)

    def once() -> float:
        began = time.perf_counter()
        with engine.open(shards) as nodes:
            nodes.place(plan)
            nodes.round(Round(index=0, cohort=cohort), model)
        return time.perf_counter() - began

    first = once()
    warm = statistics.median(once() for _ in range(50))
    took = []
    with engine.open(shards) as nodes:
        nodes.place(plan)
        for index in range(rounds):
            began = time.perf_counter()
            nodes.round(Round(index=index, cohort=cohort), model)
            took.append(time.perf_counter() - began)
    ms = {
        "first": first,
        "warm": warm,
        "median": statistics.median(took),
        "p99": float(np.quantile(took, 0.99)),
    }
    return {name: round(1000 * seconds, 3) for name, seconds in ms.items()}


def table(found: dict[str, dict[str, float]], rounds: int, machine: dict[str, Any]) -> str:
    rows = [
        f"| {name} | {ms['median']:.2f} | {ms['p99']:.2f} | {ms['warm']:.1f} | {ms['first']:.0f} |"
        for name, ms in found.items()
    ]
    return f"""# A round with nothing to do, in milliseconds

{NODES} nodes, {rounds} rounds; {machine["cores"]} cores, load {machine["load"]}, Python {machine["python"]}.
Written by `benchmarks/rounds.py`.

| engine | median round | 99th percentile | open, one round, close: warm | the same, cold |
|---|---|---|---|---|
{chr(10).join(rows)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3000)
    rounds = parser.parse_args().rounds
    machine = {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    found = {}
    for engine in (Inline(), Inline(2), Local(1), Local(2)):
        POOL.stop()  # each from a cold start
        found[repr(engine)] = measure(engine, rounds)
    text = table(found, rounds, machine)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "rounds.md").write_text(text)
    (RESULTS / "rounds.json").write_text(json.dumps({"machine": machine, "ms": found}, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()

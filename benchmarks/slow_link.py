"""Two hosts, 100 Mbit/s and a round trip of 20 ms: seconds and bytes until the same loss. Linux, root.

    python benchmarks/slow_link.py [--only ddp diloco] [--turns 1] [--rate 100mbit] [--rtt 0.02]

The hosts are network namespaces of this machine (talkoot.testing.network); each runs one process of one
thread. Contenders run alone, one after the other. The table goes to benchmarks/results/slow_link.md, the raw
numbers to slow_link.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from talkoot.testing.network import Hosts

HERE = Path(__file__).parent
NODES, TARGET, DEADLINE = 2, 0.35, 600.0
# contender of slow_link_contenders.py: its name in the table, the steps it may take
CONTENDERS = {
    "ddp": ("torch DDP, float32", 180),
    "ddp_fp16": ("torch DDP, fp16 hook", 180),
    "diloco": ("DiLoCo by hand, H=50, float32", 400),
    "talkoot": ("Talkoot, diloco(steps=40, bits=8, lr=1, momentum=.5)", 400),
}


def turn(hosts: Hosts, contender: str, port: int) -> list[dict[str, float]]:
    """One run: step, seconds, bytes and loss at each look of node 0."""
    script = [sys.executable, str(HERE / "slow_link_contenders.py"), contender, str(CONTENDERS[contender][1])]
    common = {
        "WORLD_SIZE": str(NODES),
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "MASTER_ADDR": hosts.address(0),
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": hosts.device,
        "OMP_NUM_THREADS": "1",
        "TORCH_CPP_LOG_LEVEL": "ERROR",  # addresses without names are no news
    }
    nodes = [
        hosts.run(
            rank,
            script,
            env=os.environ | common | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(NODES)
    ]
    outputs = [node.communicate(timeout=DEADLINE)[0] for node in nodes]
    if any(node.returncode for node in nodes):
        raise RuntimeError(f"{contender} failed")
    return list(json.loads(outputs[0].splitlines()[-1]))


def reached(points: list[dict[str, float]]) -> dict[str, float]:
    """The first look that meets the target, or the last of all where none does: its loss tells."""
    return next((point for point in points if point["loss"] <= TARGET), points[-1])


def table(found: dict[str, list[list[dict[str, float]]]]) -> list[str]:
    lines = [
        "| contender | steps | seconds | of the first | MB sent a node | of the first | loss |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    ends = {name: [reached(points) for points in turns] for name, turns in found.items()}
    middle = {
        name: {key: statistics.median(end[key] for end in turns) for key in turns[0]}
        for name, turns in ends.items()
    }
    base = next(iter(middle.values()))
    for name, end in middle.items():
        time_share, byte_share = (f"{end[key] / base[key]:.3f}" for key in ("seconds", "sent"))
        missed = "" if end["loss"] <= TARGET else " (not reached)"
        lines.append(
            f"| {CONTENDERS[name][0]} | {end['step']:.0f} | {end['seconds']:.1f} | {time_share} "
            f"| {end['sent'] / 1e6:.1f} | {byte_share} | {end['loss']:.3f}{missed} |"
        )
    return lines


def header(args: argparse.Namespace) -> str:
    packages = ", ".join(f"{package} {version(package)}" for package in ("talkoot", "torch"))
    return f"""# A slow link

{time.strftime("%Y-%m-%d")}, {NODES} hosts, {args.rate} each, round trip {1000 * args.rtt:.0f} ms, \
{os.cpu_count()} cores shared with the network's relay, load {os.getloadavg()[0]:.1f}, {platform.machine()}, \
Python {platform.python_version()}, {packages}; medians of {args.turns}.

A perceptron of 1.32 M parameters, AdamW, 64 rows a step and node, until the loss is {TARGET} on rows that
nobody trained on; no row is seen twice. Seconds are from the first step on. The loss is taken afterwards, of
copies of the model at fixed steps, and copying is not counted: each 10 steps for DDP, at each merge for the
others. Bytes are what the device of node 0 sent, headers included. Written by `benchmarks/slow_link.py`.

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--rate", default="100mbit")
    parser.add_argument("--rtt", type=float, default=0.020)
    args = parser.parse_args()
    if obstacle := Hosts.possible():
        sys.exit(f"skipped: {obstacle}")
    found: dict[str, list[list[dict[str, Any]]]] = {name: [] for name in args.only}
    with Hosts(NODES, rate=args.rate, rtt=args.rtt) as hosts:
        for index in range(args.turns):
            for offset, name in enumerate(args.only):
                points = turn(hosts, name, 29500 + index * len(args.only) + offset)
                found[name].append(points)
                end = reached(points)
                print(
                    f"  {name:12} {end['seconds']:7.1f} s {end['sent'] / 1e6:7.1f} MB, loss {end['loss']:.3f}"
                )
    text = header(args) + "\n".join([*table(found), ""])
    out = HERE / "results"
    out.mkdir(exist_ok=True)
    (out / "slow_link.md").write_text(text)
    (out / "slow_link.json").write_text(json.dumps(found, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()

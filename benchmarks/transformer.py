"""The step of a small transformer, in bf16 and compiled: Talkoot beside a loop by hand, on one device.

    python benchmarks/transformer.py [--device cuda] [--steps 300] [--repeats 5]

Each run is a process of its own; the two take turns. The table goes to benchmarks/results/transformer.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import talkoot as tk
from talkoot.watch import events

RESULTS = Path(__file__).parent / "results"
WARM = 0.4  # the share of the steps that is not counted: compiling, and the device's clocks
SYMBOLS, ROWS = 256, 4096


@dataclass(frozen=True)
class Size:
    """Of a transformer and its batches."""

    width: int
    heads: int
    layers: int
    window: int
    batch: int


SIZES = {
    "cuda": Size(width=512, heads=8, layers=8, window=512, batch=32),
    "cpu": Size(width=128, heads=4, layers=2, window=64, batch=16),
}


class Transformer(nn.Module):
    """Says what comes next: (rows, window) symbols to (rows, window, symbols) scores."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.known = nn.Embedding(SYMBOLS, size.width)
        self.place = nn.Parameter(torch.zeros(size.window, size.width))
        layer = nn.TransformerEncoderLayer(
            size.width, size.heads, 4 * size.width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, size.layers, enable_nested_tensor=False)
        self.next = nn.Linear(size.width, SYMBOLS)
        self.register_buffer(
            "mask", nn.Transformer.generate_square_subsequent_mask(size.window), persistent=False
        )

    def forward(self, symbols: Tensor) -> Tensor:
        scores: Tensor = self.next(
            self.layers(self.known(symbols) + self.place, mask=self.mask, is_causal=True)
        )
        return scores


def loss_of(scores: Tensor, following: Tensor) -> Tensor:
    return nn.functional.cross_entropy(scores.flatten(0, 1), following.flatten())


def samples(size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Windows of a walk over the symbols, and the same one further."""
    moves = np.random.default_rng(0).integers(-2, 3, (ROWS, size.window + 1))
    walk = moves.cumsum(axis=1) % SYMBOLS
    return walk[:, :-1].copy(), walk[:, 1:].copy()


def build(size: Size) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    module = Transformer(size)
    return module, torch.optim.AdamW(module.parameters(), lr=3e-4)


def by_hand(device: str, size: Size, steps: int) -> dict[str, float]:
    """What one writes who wants it fast: pinned memory, copies that do not wait, no look at the loss."""
    X, y = (torch.from_numpy(part) for part in samples(size))
    torch.manual_seed(0)
    module = Transformer(size).to(device)
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-4)
    net = torch.compile(module)
    order = torch.cat([torch.randperm(ROWS) for _ in range(1 + steps * size.batch // ROWS)])
    gpu, began, start = device == "cuda", 0.0, round(WARM * steps)
    for step in range(steps):
        if step == start:
            began = _now(gpu)
        rows = order[step * size.batch : (step + 1) * size.batch]
        x, target = (
            (part[rows].pin_memory() if gpu else part[rows]).to(device, non_blocking=True) for part in (X, y)
        )
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = loss_of(net(x), target)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return {"step": (_now(gpu) - began) / (steps - start), "loss": float(loss.detach())}


def _now(gpu: bool) -> float:
    if gpu:
        torch.cuda.synchronize()
    return time.perf_counter()


def ours(device: str, size: Size, steps: int) -> dict[str, float]:
    task = tk.Torch(
        lambda: build(size),
        loss_of,
        batch=size.batch,
        epochs=steps * size.batch / ROWS,
        precision="bf16",
        compile=True,
        device=device,
    )
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "events.jsonl"
        threads = tk.Inline(threads=torch.get_num_threads())
        tk.fit(task, samples(size), on=threads, sync=tk.every_step(), log=log, progress=False)
        event_steps = [event for event in events.read(log) if event["event"] == "step"]
    first, last = next(event for event in event_steps if event["step"] >= WARM * steps), event_steps[-1]
    taken = (last["t"] - first["t"]) / (last["step"] - first["step"])
    return {"step": taken, "loss": last["metrics"]["loss"]}


CONTENDERS = {"a loop by hand": by_hand, "Talkoot": ours}


def run(contender: str, args: argparse.Namespace) -> dict[str, float]:
    command = [
        sys.executable,
        __file__,
        "--device",
        args.device,
        "--steps",
        str(args.steps),
        "--run",
        contender,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    if done.returncode:
        raise RuntimeError(f"{contender} failed:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"  {contender:16}{1e3 * found['step']:9.2f} ms a step, loss {found['loss']:.3f}", flush=True)
    return found


def table(found: dict[str, list[dict[str, float]]], args: argparse.Namespace) -> str:
    size = SIZES[args.device]
    name = torch.cuda.get_device_name() if args.device == "cuda" else f"{platform.machine()}, CPU"
    parameters = sum(p.numel() for p in Transformer(size).parameters())
    base = found["a loop by hand"]
    lines = [
        "# The step of a small transformer, bf16 and compiled",
        "",
        f"{time.strftime('%Y-%m-%d')}, {name}, torch {torch.__version__}, talkoot {tk.__version__}.",
        (
            f"{parameters / 1e6:.1f} M parameters, {size.layers} layers, AdamW, {size.batch} windows of "
            f"{size.window} a step. Medians of {args.repeats} runs of {args.steps} steps in turns;"
        ),
        f"the first {WARM:.0%} of the steps are not counted.",
        "",
        "| contender | ms a step | to the loop | last loss |",
        "|---|---:|---:|---:|",
    ]
    for contender, runs in found.items():
        ratio = statistics.median(a["step"] / b["step"] for a, b in zip(runs, base, strict=True))
        step, loss = (statistics.median(r[key] for r in runs) for key in ("step", "loss"))
        lines.append(f"| {contender} | {1e3 * step:.2f} | {ratio:.3f} | {loss:.3f} |")
    return "\n".join([*lines, ""])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    there = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=SIZES, default=there)
    parser.add_argument("--steps", type=int, default=300, help="of a run")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each contender")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the table")
    parser.add_argument("--run", choices=CONTENDERS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    if args.run:
        print(json.dumps(CONTENDERS[args.run](args.device, SIZES[args.device], args.steps)))
        return
    found: dict[str, list[dict[str, Any]]] = {contender: [] for contender in CONTENDERS}
    for _ in range(args.repeats):
        for contender, runs in found.items():
            runs.append(run(contender, args))
    text = table(found, args)
    args.out.mkdir(exist_ok=True)
    (args.out / "transformer.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()

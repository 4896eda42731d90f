"""Talkoot beside torchrun's DDP, Fabric, Accelerate and Ray Train: two workers of one thread, in one run.

    python benchmarks/deep.py [--models mlp cnn small] [--contenders ddp ...] [--repeats 5] [--seconds 6]

Every contender is a script of deep_contenders/, run alone, cold, in processes of its own; they take turns, so
that a machine that drifts drifts for all. The table goes to benchmarks/results/deep.md, the raw numbers to
deep.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
from deep_contenders import task

HERE = Path(__file__).parent
PYTHON = (sys.executable, "-m")
TORCHRUN = (str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc-per-node=2", "-m")
# contender: its name in the table, its launcher, its module, its threads a process, the package it needs
CONTENDERS = {
    "ddp": ("torchrun DDP", TORCHRUN, "ddp", 1, "torch"),
    "fabric": ("Lightning Fabric", PYTHON, "fabric", 1, "lightning_fabric"),
    "accelerate": ("Accelerate", TORCHRUN, "accelerated", 1, "accelerate"),
    "ray_train": ("Ray Train", PYTHON, "ray_train", 1, "ray.train"),
    "threads": ("one process, 2 threads", PYTHON, "threads", 2, "torch"),
    "talkoot": ("Talkoot", PYTHON, "ours", 1, "talkoot"),
}
MODELS = {
    "mlp": "perceptron of 4.7 M parameters",
    "cnn": "CNN of 81 k parameters",
    "small": "perceptron of 27 k parameters",
}
PACKAGES = ("talkoot", "torch", "lightning-fabric", "accelerate", "ray")
WARM = 0.25  # the share of the steps that is not counted
DEADLINE = 300.0  # seconds of one run
Found = dict[str, dict[str, list[dict[str, float]]]]  # model, contender: one entry a repeat


@contextmanager
def watched(process: subprocess.Popen[bytes]) -> Iterator[list[float]]:
    """The largest resident memory of a process and all below it, in bytes, looked at twice a second."""
    peak, over = [0.0], threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            try:
                root = psutil.Process(process.pid)
                family = [root, *root.children(recursive=True)]
                peak[0] = max(peak[0], sum(p.memory_info().rss for p in family))
            except psutil.Error:
                continue

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that is still there, and all below it; those of torchrun have groups of their own."""
    if process.poll() is None:
        root = psutil.Process(process.pid)
        for one in (*root.children(recursive=True), root):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()


def run(contender: str, model: str, steps: int, folder: Path) -> dict[str, Any]:
    """One cold run: what the contender reports, the time of its command and its peak memory."""
    _, launcher, module, threads, _ = CONTENDERS[contender]
    out, log = folder / "report.json", folder / "log.txt"
    out.unlink(missing_ok=True)
    limits = {f"{k}_NUM_THREADS": str(threads) for k in ("OMP", "OPENBLAS", "MKL")}
    env = os.environ | limits | {"PYTHONPATH": str(HERE), "RAY_USAGE_STATS_ENABLED": "0"}
    command = [*launcher, f"deep_contenders.{module}", model, str(steps), str(folder), str(out)]
    with log.open("wb") as sink:
        began = time.time()
        process = subprocess.Popen(command, env=env, stdout=sink, stderr=sink)
        try:
            with watched(process) as peak:
                process.wait(DEADLINE)
        finally:
            end(process)
    if not out.exists():  # with a report, how it ended does not matter: DDP aborts at its exit now and then
        raise RuntimeError(f"{contender} failed on {model}:\n{log.read_text(errors='replace')[-3000:]}")
    return {"began": began, "peak": peak[0], **json.loads(out.read_text())}


def measures(report: dict[str, Any], model: str) -> dict[str, float]:
    """Steady samples a second of all workers, seconds from the command to the end of step 1, loss, bytes."""
    points = report["points"]
    if points[0][0] != 1:
        raise ValueError("the first point must be the end of step 1")
    last, end = points[-1]
    first, start = next(p for p in points if p[0] >= WARM * last)
    samples = (last - first) * task.BATCH[model] * task.WORKERS
    return {
        "samples": samples / (end - start),
        "first_step": points[0][1] - report["began"],
        "loss": report["loss"],
        "peak": report["peak"],
        "steps": last,
    }


def steps_for(model: str, seconds: float, folder: Path) -> int:
    """Steps that take DDP about `seconds` once it is warm; the run that tells is not counted."""
    rate = measures(run("ddp", model, 32, folder), model)["samples"] / (task.BATCH[model] * task.WORKERS)
    return max(32, round(rate * seconds / (1 - WARM)))


def measure(args: argparse.Namespace, folder: Path) -> Found:
    """All repeats of all models; the contenders take turns, each repeat in another order."""
    found: Found = {model: {c: [] for c in args.contenders} for model in args.models}
    for model in args.models:
        steps = steps_for(model, args.seconds, folder)
        for repeat in range(args.repeats):
            turn = repeat % len(args.contenders)
            for contender in args.contenders[turn:] + args.contenders[:turn]:
                got = measures(run(contender, model, steps, folder), model)
                found[model][contender].append(got)
                print(f"  {model:6}{contender:11}{result_text(got)}", flush=True)
    return found


def result_text(got: dict[str, float]) -> str:
    return (
        f"{got['samples']:10,.0f} samples/s, first step {got['first_step']:5.2f} s, "
        f"loss {got['loss']:.4f}, {got['peak'] / 1e6:,.0f} MB, {got['steps']:.0f} steps"
    )


def rows_of_table(found: Found) -> list[str]:
    lines = []
    for model, group in found.items():
        lines += [
            f"## {MODELS[model]}, {task.BATCH[model]} samples a worker",
            "",
            "| contender | samples/s | to DDP | command to first step s | to DDP | held-out loss | RSS MB |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        base = group.get("ddp")
        for contender, runs in group.items():
            middle = {key: statistics.median(r[key] for r in runs) for key in runs[0]}
            lines.append(
                f"| {CONTENDERS[contender][0]} | {middle['samples']:,.0f} | {ratio(runs, base, 'samples')} "
                f"| {middle['first_step']:.2f} | {ratio(runs, base, 'first_step')} "
                f"| {middle['loss']:.3f} | {middle['peak'] / 1e6:,.0f} |"
            )
        lines.append("")
    return lines


def ratio(runs: list[dict[str, float]], base: list[dict[str, float]] | None, key: str) -> str:
    """The median, over repeats, of a run's number to that of DDP in the same repeat."""
    if base is None:
        return ""
    return f"{statistics.median(a[key] / b[key] for a, b in zip(runs, base, strict=True)):.2f}"


def losses_agree(found: Found) -> None:
    """Equal work: all losses fall from the ln 10 that they begin with, and end within 0.1 of their median."""
    for model, group in found.items():
        losses = {c: statistics.median(r["loss"] for r in runs) for c, runs in group.items()}
        middle = statistics.median(losses.values())
        for contender, loss in losses.items():
            if abs(loss - middle) > 0.1 or loss > 2.0:
                print(f"WARNING: {model}: {contender} ends at a loss of {loss:.3f}, all at {middle:.3f}")


def header(args: argparse.Namespace) -> list[str]:
    versions = ", ".join(f"{p} {version(p)}" for p in PACKAGES if find_spec(p.replace("-", "_")))
    when, cores, python = time.strftime("%Y-%m-%d"), os.cpu_count(), platform.python_version()
    return [
        "# Deep learning: one task on one machine",
        "",
        f"{when}, {cores} cores, {platform.machine()}, Python {python}, {versions}.",
        f"Two workers of one thread, synchronous steps, SGD with momentum, {task.ROWS:,} x 784 float32",
        f"in memory. Medians of {args.repeats} cold runs of about {args.seconds:g} s each, taken in turns;",
        f"ratios to DDP are medians over the repeats. The first {WARM:.0%} of a run's steps are not counted.",
        "RSS is the peak sum over all processes of a run: pages they share count once for each.",
        "",
    ]


def arguments() -> argparse.Namespace:
    there = [name for name, spec in CONTENDERS.items() if find_spec(spec[-1].partition(".")[0])]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=there)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each contender")
    parser.add_argument("--seconds", type=float, default=6, help="steady seconds of each run, about")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of the table")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        task.make(Path(temporary))
        found = measure(args, Path(temporary))
    losses_agree(found)
    text = "\n".join([*header(args), *rows_of_table(found)])
    args.out.mkdir(exist_ok=True)
    (args.out / "deep.md").write_text(text)
    (args.out / "deep.json").write_text(json.dumps(found, indent=1))
    print(text)


if __name__ == "__main__":
    main()

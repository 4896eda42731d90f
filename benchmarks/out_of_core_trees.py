"""Boosted trees of a folder of Parquet files, within a quarter of its memory, beside the same rows in memory.

    python benchmarks/out_of_core_trees.py [--rows 2000000] [--columns 100] [--trees 10] [--allowed MB]
        [--of xgboost]

The rows are float32, in row groups of 20 000, and what is allowed is a limit of the operating system on
private memory (RLIMIT_DATA) above the peak of a small fit; by default a quarter of the rows as float64, which
is what a fit in memory reads. A row takes about 80 bytes beside its bins, so rows of 20 columns need more:
--rows 10000000 --columns 20 --allowed 1000. Every fit runs in a process of its own; a tree is timed as the
difference between a fit of many trees and one of a single tree. The table goes to benchmarks/results/, named
by its size.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

RESULTS = Path(__file__).parent / "results"
GROUP = 20_000  # rows of a row group
FILE = 50 * GROUP


def write(folder: Path, rows: int, columns: int) -> None:
    """Write the files that are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, begin in enumerate(range(0, rows, FILE)):
        path, count = folder / f"part-{i:03}.parquet", min(FILE, rows - begin)
        if path.exists():
            continue
        rng = np.random.default_rng(i)
        X = rng.standard_normal((count, columns), dtype=np.float32)
        y = X[:, 0] * X[:, 1] + np.sin(3 * X[:, 2]) + rng.standard_normal(count, dtype=np.float32)
        table = pa.table({f"x{j}": X[:, j] for j in range(columns)} | {"y": y})
        pq.write_table(table, path, row_group_size=GROUP)


def status() -> dict[str, int]:
    """Bytes of this process, as the kernel counts them."""
    words = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {each[0]: int(each[1]) << 10 for each in words if each[2:] == ["kB"]}


class Watch(threading.Thread):
    """Looks at the memory of this process fifty times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = dict[str, int]()
        self.over = threading.Event()

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.join()

    def run(self) -> None:
        while not self.over.wait(0.02):
            for name, value in status().items():
                self.peak[name] = max(value, self.peak.get(name, 0))


def scikit_learn(trees: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(max_iter=trees, early_stopping=False)


def xgboost(trees: int) -> Any:
    from xgboost import XGBRegressor

    return XGBRegressor(n_estimators=trees)


KINDS: dict[str, Callable[[int], Any]] = {"scikit-learn": scikit_learn, "xgboost": xgboost}


def fit(data: Any, trees: int, kind: str) -> float:
    """Seconds of a fit."""
    import talkoot as tk

    estimator = KINDS[kind](trees)
    began = time.perf_counter()
    tk.fit(estimator, *data[0], **data[1], nodes=2, on=tk.Inline(threads=2), progress=False)
    return time.perf_counter() - began


def child(args: argparse.Namespace) -> dict[str, Any]:
    """Fit in this process: from the folder within a limit, or from arrays."""
    small, whole = ((str(folder),) for folder in (args.folder / "small", args.folder / "rows"))
    with Watch() as before:  # what is imported, compiled, and read ahead of any folder's rows
        for _ in range(2):
            fit((small, {"target": "y"}), 2, args.of)
    base = before.peak
    if args.allowed:
        limit = base["VmData:"] + args.allowed * 10**6
        resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))
    data: Any = (whole, {"target": "y"})
    if not args.allowed:
        table = pq.read_table(whole[0])
        X = np.empty((len(table), table.num_columns - 1))
        for j in range(X.shape[1]):
            X[:, j] = table.column(j)
        data = ((X, table.column("y").to_numpy().astype(float)), {})
        del table
    with Watch() as watch:
        one, many = (fit(data, trees, args.of) for trees in (1, 1 + args.trees))
    facts = {"begin": one, "tree": (many - one) / args.trees, "whole": many}
    return facts | {name: watch.peak[name] - base[name] for name in ("RssAnon:", "VmRSS:")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--trees", type=int, default=10)
    parser.add_argument("--allowed", type=int, help="MB of private memory above the peak of a small fit")
    parser.add_argument("--of", choices=KINDS, default="scikit-learn", help="whose trees")
    parser.add_argument("--folder", type=Path, help="keep the files here instead of a temporary folder")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(child(args)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        args.folder = args.folder or Path(temporary)
        write(args.folder / "small", 10 * GROUP, args.columns)
        write(args.folder / "rows", args.rows, args.columns)
        size = args.rows * args.columns * 8
        allowed = args.allowed or size // 4_000_000
        lines = [
            "# Boosted trees out of core",
            "",
            f"Trees of {args.of}. {args.rows} rows, {args.columns} columns, {size / 1e6:.0f} MB as float64.",
            f"Peaks are above that of a fit of {10 * GROUP} rows.",
            "",
            "| rows in | allowed MB | before the first tree s | a tree s | private MB above | RSS MB above |",
            "|---|---:|---:|---:|---:|---:|",
        ]
        for name, limit in (("Parquet", allowed), ("memory", 0)):
            own = [
                "--child",
                "--of",
                args.of,
                "--allowed",
                str(limit),
                "--folder",
                str(args.folder),
                "--trees",
                str(args.trees),
            ]
            env = {
                **os.environ,
                "ARROW_DEFAULT_MEMORY_POOL": "system",
                "MALLOC_ARENA_MAX": "1",
            }  # nothing is reserved ahead
            done = subprocess.run(
                [sys.executable, __file__, *own], check=True, stdout=PIPE, text=True, env=env
            )
            found = json.loads(done.stdout)
            lines.append(
                f"| {name} | {limit or 'all'} | {found['begin'] - found['tree']:.1f} | {found['tree']:.2f} "
                f"| {found['RssAnon:'] / 1e6:.0f} | {found['VmRSS:'] / 1e6:.0f} |"
            )
            print(lines[-1], flush=True)
    of = "" if args.of == "scikit-learn" else f"_{args.of}"
    (RESULTS / f"out_of_core_trees{of}_{args.rows}x{args.columns}.md").write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()

"""Fit a folder of Parquet files larger than the memory we allow ourselves, and watch what is resident.

    python benchmarks/out_of_core.py [--gigabytes 4] [--engine inline|local] [--folder DIR]

Prints the peak, over all processes together, of resident memory (RSS summed: pages that processes share count
once for each) and of PSS (shared pages count once). Writes benchmarks/results/out_of_core_ENGINE.md.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
ROWS = 500_000  # a file of 100 MB: 50 float32 columns that do not compress


class Watch(threading.Thread):
    """Samples the resident memory of this process and of all below it, twenty times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_rss = self.peak_pss = 0.0
        self.over = threading.Event()

    def run(self) -> None:
        me = psutil.Process()
        while not self.over.wait(0.05):
            rss = pss = 0.0
            for process in (me, *me.children(recursive=True)):
                try:
                    memory = process.memory_full_info()
                except psutil.Error:
                    continue
                rss, pss = rss + memory.rss, pss + memory.pss
            self.peak_rss, self.peak_pss = max(self.peak_rss, rss), max(self.peak_pss, pss)


def make(folder: Path, gigabytes: float) -> int:
    """Write the files that are missing; return the bytes on disk."""
    beta = np.random.default_rng(0).standard_normal(50) / 4
    for i in range(max(1, round(gigabytes * 10))):
        path = folder / f"part-{i:03}.parquet"
        if not path.exists():
            rng = np.random.default_rng(i)
            X = rng.standard_normal((ROWS, 50), dtype=np.float32)
            y = (X @ beta + rng.logistic(size=ROWS) > 0).astype(np.int8)
            table = pa.table({f"x{j}": X[:, j] for j in range(50)} | {"y": y})
            pq.write_table(table, path, row_group_size=100_000)
    return sum(p.stat().st_size for p in folder.glob("*.parquet"))


def fit(estimator: Any, folder: Path, engine: str) -> tuple[float, float, float]:
    """Seconds, peak RSS and peak PSS in bytes of one fit."""
    import talkoot as tk

    on = tk.Inline(threads=2) if engine == "inline" else tk.Local(2)
    watch = Watch()
    watch.start()
    began = time.perf_counter()
    tk.fit(estimator, str(folder / "*.parquet"), target="y", nodes=2, on=on, progress=False)
    took = time.perf_counter() - began
    watch.over.set()
    watch.join()
    return took, watch.peak_rss, watch.peak_pss


def main() -> None:
    from sklearn.linear_model import LogisticRegression, Ridge

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--engine", choices=("inline", "local"), default="inline")
    parser.add_argument("--folder", type=Path, help="keep the files here instead of a temporary folder")
    args = parser.parse_args()
    lines = ["# Out of core", "", "| estimator | engine | on disk GB | fit s | peak RSS MB | peak PSS MB |"]
    lines += ["|---|---|---:|---:|---:|---:|"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        size = make(folder, args.gigabytes)
        for estimator in (Ridge(), LogisticRegression()):
            took, rss, pss = fit(estimator, folder, args.engine)
            lines.append(
                f"| {type(estimator).__name__} | {args.engine} | {size / 1e9:.2f} | {took:.1f} "
                f"| {rss / 1e6:.0f} | {pss / 1e6:.0f} |"
            )
            print(lines[-1], flush=True)
    text = "\n".join([*lines, ""])
    (HERE / "results" / f"out_of_core_{args.engine}.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()

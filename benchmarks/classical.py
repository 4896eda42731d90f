"""Talkoot beside scikit-learn, dask-ml and Spark ML on one table of 1 M x 50 float32, in one run.

    python benchmarks/classical.py [--rows 1000000] [--repeats 3] [--only LogisticRegression]

Every contender runs alone, in a process of its own, with OMP_NUM_THREADS set to its share of the cores; ours
and scikit-learn's take turns so that a machine that drifts drifts for both. The table goes to
benchmarks/results/classical.md, the raw numbers to classical.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from contenders import reading

HERE = Path(__file__).parent
OTHERS = (
    "LogisticRegression(lbfgs, tol=1e-8)",
    "LogisticRegression(newton-cholesky)",
    "Ridge",
    "PCA",
    "GaussianNB",
    "StandardScaler",
)
# (contender, threads of BLAS and OpenMP, nodes: threads, workers or cores)
TURNS = (
    ("scikit_learn", 1, 1),
    ("talkoot_inline", 1, 1),
    ("talkoot_inline", 1, 2),
    ("talkoot_local", 1, 2),
)


def make_table(folder: Path, rows: int) -> None:
    """Fifty normal columns, two of them correlated, and a noisy linear class."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, 50), dtype=np.float32)
    X[:, 1] += X[:, 0]
    beta = rng.standard_normal(50) / 4
    y = (X @ beta + rng.logistic(size=rows) > 0).astype(np.int64)
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    columns = {f"x{j}": X[:, j] for j in range(50)} | {"y": y}
    pq.write_table(pa.table(columns), folder / "table.parquet", row_group_size=100_000)


def turn(contender: str, threads: int, nodes: int, name: str, folder: Path, repeats: int) -> dict[str, Any]:
    """One process of one contender."""
    limits = {f"{k}_NUM_THREADS": str(threads) for k in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
    env = os.environ | limits | {"NODES": str(nodes)}
    script = [sys.executable, str(HERE / "contenders.py"), contender, name, str(folder), str(repeats)]
    done = subprocess.run(script, env=env, capture_output=True, text=True, timeout=900)
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"{contender} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(name: str, folder: Path, repeats: int, turns: int, peers: bool) -> list[dict[str, Any]]:
    """All contenders of one estimator; the first four in turns, the slow peers once."""
    found: dict[tuple[str, int, int], dict[str, Any]] = {}
    plan = [who for _ in range(turns) for who in TURNS]
    if peers:
        plan += [("dask_ml", 1, 2)] if find_spec("dask_ml") else []
        plan += [("spark_ml", 1, 2)] if find_spec("pyspark") and shutil.which("java") else []
    for who in plan:
        slow = who[0] in ("dask_ml", "spark_ml")
        got = turn(*who, name, folder, 1 if slow else repeats)
        entry = found.setdefault(who, {"wall": [], "cpu": [], "setup": got["setup"]})
        entry["wall"] += got["wall"]
        entry["cpu"] += got["cpu"]
        entry |= {key: got[key] for key in ("objective", "passes")}
        print(f"  {name:36} {who[0]:15} {who[2]} x: {statistics.median(got['wall']):7.3f} s", flush=True)
    return [{"estimator": name, "contender": k[0], "nodes": k[2], **v} for k, v in found.items()]


def rows_of_table(results: list[dict[str, Any]], size: int) -> list[str]:
    lines = [
        "| estimator | contender | nodes | fit s | CPU s | to scikit-learn | objective | passes | GB/s |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name in dict.fromkeys(r["estimator"] for r in results):
        group = [r for r in results if r["estimator"] == name]
        base = statistics.median(next(r for r in group if r["contender"] == "scikit_learn")["wall"])
        for r in group:
            wall, cpu = statistics.median(r["wall"]), statistics.median(r["cpu"])
            goal = "" if r["objective"] is None else f"{r['objective']:.9f}"
            passes = "|" if r["passes"] is None else f"{r['passes']} | {r['passes'] * size / wall / 1e9:.2f}"
            lines.append(
                f"| {name} | {r['contender'].replace('_', ' ')} | {r['nodes']} | {wall:.3f} | {cpu:.3f} "
                f"| {wall / base:.2f} | {goal} | {passes} |"
            )
    return lines


def header(rows: int, bandwidth: float) -> list[str]:
    packages = ("talkoot", "scikit-learn", "numpy", "dask-ml", "pyspark")
    return [
        "# Classical learners",
        "",
        f"{time.strftime('%Y-%m-%d')}, {rows:,} x 50 float32, {os.cpu_count()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}, " + ", ".join(f"{p} {_version(p)}" for p in packages) + ".",
        "Medians of warm fits: data loaded, workers and sessions started. One BLAS thread a node. The",
        "objective is the penalised mean log-loss in float64: equal at equal optima. A pass reads all rows;",
        f"one thread that reads the table from memory and does no more reads {bandwidth / 1e9:.1f} GB/s.",
        "",
    ]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed: left out)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3, help="counted fits in each process")
    parser.add_argument("--turns", type=int, default=3, help="processes of each contender")
    parser.add_argument("--only", default="", help="estimators whose name starts so")
    args = parser.parse_args()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_table(folder, args.rows)
        for name in ("LogisticRegression(lbfgs)", *OTHERS):
            if name.startswith(args.only):
                peers = name.endswith("(lbfgs)")
                results += measure(name, folder, args.repeats, args.turns, peers)
        bandwidth, size = reading(folder), np.load(folder / "X.npy", mmap_mode="r").nbytes
    text = "\n".join([*header(args.rows, bandwidth), *rows_of_table(results, size), ""])
    out = HERE / "results"
    out.mkdir(exist_ok=True)
    (out / "classical.md").write_text(text)
    (out / "classical.json").write_text(json.dumps(results, indent=1))
    print(text)


if __name__ == "__main__":
    main()

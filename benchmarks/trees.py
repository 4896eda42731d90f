"""Boosted trees beside scikit-learn, XGBoost and LightGBM: seconds of a fit of equal rounds, leaves and bins.

    python benchmarks/trees.py [--rows 200000] [--columns 20] [--rounds 50] [--repeats 3]

Every fit runs in a process of its own, on one thread and on two; Talkoot, XGBoost and LightGBM also in two
processes, each with its half of the rows. Contenders take turns. What is timed is the fit, with its binning,
after a small one that is not counted. The table goes to benchmarks/results/, named by its size.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
LEAVES, BINS, RATE, LEAST = 31, 255, 0.1, 20
Rows = tuple[np.ndarray, np.ndarray]
Fit = Callable[[Rows, int], Any]


def table(rows: int, columns: int) -> Rows:
    """Numbers, and two classes that depend on four of them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, columns))
    score = X[:, 0] * X[:, 1] + np.sin(3 * X[:, 2]) + X[:, 3]
    return X, (score + rng.normal(size=rows) > 0).astype(int)


def histogram_boosting(rounds: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=rounds, max_leaf_nodes=LEAVES, max_bins=BINS, learning_rate=RATE, early_stopping=False
    )


def scikit_learn(rows: Rows, rounds: int) -> Any:
    return histogram_boosting(rounds).fit(*rows)


def talkoot(rows: Rows, rounds: int) -> Any:
    import talkoot as tk

    threads = int(os.environ["OMP_NUM_THREADS"])
    on = tk.Inline(threads=threads)
    return tk.fit(histogram_boosting(rounds), *rows, nodes=threads, on=on, progress=False).model


def talkoot_workers(rows: Rows, rounds: int) -> Any:
    import talkoot as tk

    return tk.fit(histogram_boosting(rounds), *rows, nodes=2, on=tk.Local(2), progress=False).model


def gradient_trees(rounds: int) -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(
        n_estimators=rounds,
        max_leaves=LEAVES,
        max_depth=0,
        grow_policy="lossguide",
        max_bin=BINS,
        learning_rate=RATE,
        tree_method="hist",
        n_jobs=int(os.environ["OMP_NUM_THREADS"]),
    )


def xgboost(rows: Rows, rounds: int) -> Any:
    return gradient_trees(rounds).fit(*rows)


def xgboost_talkoot(rows: Rows, rounds: int) -> Any:
    import talkoot as tk

    return tk.fit(gradient_trees(rounds), *rows, nodes=2, on=tk.Local(2), progress=False).model


def light_trees(rounds: int, **facts: Any) -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(
        n_estimators=rounds,
        num_leaves=LEAVES,
        max_bin=BINS,
        learning_rate=RATE,
        min_child_samples=LEAST,
        n_jobs=int(os.environ["OMP_NUM_THREADS"]),
        verbose=-1,
        **facts,
    )


def lightgbm(rows: Rows, rounds: int) -> Any:
    return light_trees(rounds).fit(*rows)


def xgboost_rank(rank: int, rows: Rows, rounds: int, meeting: Any, done: Any) -> None:
    """One of XGBoost's two processes."""
    from xgboost import collective

    with collective.CommunicatorContext(**meeting, dmlc_task_id=str(rank)):
        model = xgboost(half(rows, rank), rounds)
    done.put((rank, model))


def lightgbm_rank(rank: int, rows: Rows, rounds: int, meeting: Any, done: Any) -> None:
    """One of LightGBM's two processes."""
    machines = ",".join(f"127.0.0.1:{port}" for port in meeting)
    facts = {"machines": machines, "num_machines": 2, "local_listen_port": meeting[rank]}
    done.put((rank, light_trees(rounds, tree_learner="data", **facts).fit(*half(rows, rank))))


def half(rows: Rows, rank: int) -> Rows:
    X, y = rows
    return X[rank::2], y[rank::2]


def together(work: Callable[..., None], rows: Rows, rounds: int, meeting: Any) -> Any:
    """What the first of two forked processes has found."""
    context = multiprocessing.get_context("fork")
    done = context.Queue()
    ranks = [context.Process(target=work, args=(rank, rows, rounds, meeting, done)) for rank in range(2)]
    for rank in ranks:
        rank.start()
    models = dict(done.get(timeout=900) for _ in ranks)
    for rank in ranks:
        rank.join()
    return models[0]


def xgboost_processes(rows: Rows, rounds: int) -> Any:
    from xgboost.tracker import RabitTracker

    tracker = RabitTracker(n_workers=2, host_ip="127.0.0.1")
    tracker.start()
    return together(xgboost_rank, rows, rounds, tracker.worker_args())


def lightgbm_processes(rows: Rows, rounds: int) -> Any:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return together(lightgbm_rank, rows, rounds, ports)


CONTENDERS: dict[str, tuple[Fit, int]] = {  # name -> how it fits, and threads of each process
    "scikit-learn, 1 thread": (scikit_learn, 1),
    "Talkoot, 1 thread": (talkoot, 1),
    "XGBoost, 1 thread": (xgboost, 1),
    "LightGBM, 1 thread": (lightgbm, 1),
    "scikit-learn, 2 threads": (scikit_learn, 2),
    "Talkoot, 2 nodes on 2 threads": (talkoot, 2),
    "Talkoot, 2 workers": (talkoot_workers, 1),
    "XGBoost, 2 threads": (xgboost, 2),
    "LightGBM, 2 threads": (lightgbm, 2),
    "XGBoost, 2 processes": (xgboost_processes, 1),
    "LightGBM, 2 processes": (lightgbm_processes, 1),
    "Talkoot's XGBClassifier, Local(2), which is 2 threads": (xgboost_talkoot, 2),
}


def one_fit(name: str, rows: int, columns: int, rounds: int) -> dict[str, float]:
    """Seconds of a fit in this process, and the area under its curve on rows that it has not seen."""
    from sklearn.metrics import roc_auc_score

    warnings.simplefilter("ignore")
    fit, _ = CONTENDERS[name]
    X, y = table(rows + rows // 4, columns)
    fit((X[:2000], y[:2000]), 2)
    began = time.perf_counter()
    model = fit((X[:rows], y[:rows]), rounds)
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "auc": float(roc_auc_score(y[rows:], model.predict_proba(X[rows:])[:, 1])),
    }


def apart(name: str, options: argparse.Namespace) -> dict[str, float]:
    """A fit in a process of its own."""
    threads = str(CONTENDERS[name][1])
    numbers = [str(options.rows), str(options.columns), str(options.rounds)]
    done = subprocess.run(
        [sys.executable, __file__, "--fit", name, "--numbers", *numbers],
        env={**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def written(found: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> str:
    """The table."""
    import xgboost  # which the package xgboost-cpu has too

    packages = ("talkoot", "scikit-learn", "lightgbm")
    lines = [
        "# Boosted trees",
        "",
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, "
        + ", ".join(f"{package} {version(package)}" for package in packages)
        + f", xgboost {xgboost.__version__}"
        + (f"; {options.note}." if options.note else "."),
        f"{options.rows:,} x {options.columns}, two classes, {options.rounds} rounds of {LEAVES} leaves,",
        f"{BINS} bins; medians of {options.repeats}, and the fastest.",
        "Binning is part of a fit. AUC is of rows that no model has seen.",
        "",
        "| | seconds | AUC |",
        "|---|---:|---:|",
    ]
    for name, fits in found.items():
        seconds = [fit["seconds"] for fit in fits]
        lines.append(
            f"| {name} | {statistics.median(seconds):.2f} ({min(seconds):.2f}) | {fits[0]['auc']:.4f} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--note", default="", help="the conditions, such as what else ran")
    parser.add_argument("--fit", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--numbers", nargs=3, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fit:
        print(json.dumps(one_fit(options.fit, *options.numbers)))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for _ in range(options.repeats):
        for name, fits in found.items():
            fits.append(apart(name, options))
            print(f"{name}: {fits[-1]['seconds']:.2f} s", flush=True)
    text = written(found, options)
    print(text)
    (RESULTS / f"trees_{options.rows}x{options.columns}.md").write_text(text)


if __name__ == "__main__":
    main()

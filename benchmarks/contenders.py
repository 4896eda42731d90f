"""One contender fits one estimator on the shared table, in a process of its own; prints one JSON line.

Called by classical.py: ``python benchmarks/contenders.py NAME ESTIMATOR FOLDER REPEATS``. The process is
given its number of threads by the environment. Each fit is timed after one that is not counted (warm);
setting up (a session, workers, loading) is timed apart.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

Fit = Callable[[], Any]


def estimator(name: str) -> Any:
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.naive_bayes import GaussianNB
    from sklearn.preprocessing import StandardScaler

    return {
        "LogisticRegression(lbfgs)": LogisticRegression(),
        "LogisticRegression(lbfgs, tol=1e-8)": LogisticRegression(tol=1e-8, max_iter=1000),
        "LogisticRegression(newton-cholesky)": LogisticRegression(solver="newton-cholesky"),
        "Ridge": Ridge(),
        "PCA": PCA(10),
        "GaussianNB": GaussianNB(),
        "StandardScaler": StandardScaler(),
    }[name]


def load(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    return np.load(folder / "X.npy"), np.load(folder / "y.npy")


def scikit_learn(name: str, folder: Path) -> Fit:
    X, y = load(folder)
    model = estimator(name)
    return lambda: model.fit(X, y)


def talkoot_inline(name: str, folder: Path) -> Fit:
    import talkoot as tk

    X, y = load(folder)
    threads = int(os.environ["NODES"])
    data = tk.shards(X, y, nodes=threads)
    return lambda: tk.fit(estimator(name), data, on=tk.Inline(threads=threads), progress=False)


def talkoot_local(name: str, folder: Path) -> Fit:
    import talkoot as tk

    X, y = load(folder)
    workers = int(os.environ["NODES"])
    data = tk.shards(X, y, nodes=workers)
    engine = tk.Local(workers)
    return lambda: tk.fit(estimator(name), data, on=engine, progress=False)


def dask_ml(name: str, folder: Path) -> Fit:
    import dask.array as da
    from dask_ml.linear_model import LogisticRegression

    X, y = load(folder)
    rows = len(X) // int(os.environ["NODES"])
    Xd, yd = da.from_array(X, chunks=(rows, X.shape[1])), da.from_array(y, chunks=rows)
    return lambda: LogisticRegression(solver="lbfgs").fit(Xd, yd)


def spark_ml(name: str, folder: Path) -> Fit:
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.feature import VectorAssembler
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(f"local[{os.environ['NODES']}]")
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "6g",
    }
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    table = session.read.parquet(str(folder / "table.parquet"))
    names = [c for c in table.columns if c != "y"]
    ready = VectorAssembler(inputCols=names, outputCol="X").transform(table).select("X", "y").cache()
    ready.count()
    n = ready.count()
    # Spark's objective is a mean: scikit-learn's C=1 is regParam = 1 / rows there
    model = LogisticRegression(featuresCol="X", labelCol="y", regParam=1 / n, standardization=False, tol=1e-4)
    return lambda: model.fit(ready)


CONTENDERS = {f.__name__: f for f in (scikit_learn, talkoot_inline, talkoot_local, dask_ml, spark_ml)}


def reading(folder: Path, turns: int = 5) -> float:
    """Bytes a second of reading the table from memory, with one thread and nothing else to do."""
    words = load(folder)[0].reshape(-1).view(np.int64)
    best = 1e9
    for _ in range(turns):
        began = time.perf_counter()
        np.bitwise_or.reduce(words)
        best = min(best, time.perf_counter() - began)
    return words.nbytes / best


def cpu_seconds() -> float:
    """CPU time of this process and of all processes below it."""
    me = psutil.Process()
    total = 0.0
    for process in (me, *me.children(recursive=True)):
        times = process.cpu_times()
        total += times.user + times.system
    return total


@contextmanager
def quiet_stdout() -> Any:
    """Keep what libraries print out of our one line."""
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)


def objective(model: Any, folder: Path) -> float:
    """Mean log-loss plus the penalty at C=1, in float64, the same for all: equal optima, equal numbers."""
    own = ("coef_", "intercept_") if hasattr(model, "coef_") else ("coefficients", "intercept")
    coef, shift = (np.ravel(np.asarray(getattr(model, name), dtype=np.float64)) for name in own)
    X, y = load(folder)
    raw = X.astype(np.float64) @ coef + shift
    return float(np.mean(np.logaddexp(0, raw) - y * raw) + coef @ coef / 2 / len(y))


def main(contender: str, name: str, folder: Path, repeats: int) -> dict[str, Any]:
    warnings.simplefilter("ignore")
    start = time.perf_counter()
    fit = CONTENDERS[contender](name, folder)
    ready = time.perf_counter() - start
    fit()
    wall, cpu = [], []
    for _ in range(repeats):
        before, began = cpu_seconds(), time.perf_counter()
        done = fit()
        wall.append(time.perf_counter() - began)
        cpu.append(cpu_seconds() - before)
    loss = objective(getattr(done, "model", done), folder) if name.startswith("Logistic") else None
    passes = len(done.history) if contender.startswith("talkoot") else None
    return {"wall": wall, "cpu": cpu, "setup": ready, "objective": loss, "passes": passes}


if __name__ == "__main__":
    with quiet_stdout():
        result = main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    print(json.dumps(result), flush=True)
    os._exit(0)  # a JVM below may linger; nothing of ours is open

"""Contenders of one library learn one stream row by row, in a process of their own; prints JSON lines.

Called by streams.py: ``python benchmarks/stream_contenders.py FILE NAME...``. FILE is an Arrow file whose
last column is the label; next to it lies the same as Parquet. A contender is a function of the path that
returns seconds and the predictions (rows,) or (rows, classes) for each row before it was learned.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Answer = tuple[float, np.ndarray]
BATCH = 8192


def read(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def talkoot(model: Any, parquet: bool = False) -> Callable[[Path], Answer]:
    """A model of `tk.online` over record batches; the kernels are compiled before the clock starts."""

    def run(path: Path) -> Answer:
        import talkoot as tk
        from talkoot.learners.online.features import Encoder, Layout

        table = read(path)
        classes = int(np.max(table.column("label").to_numpy())) + 1
        made = model(tk.online, classes)
        layout = Layout.of(table.schema, without=["label"], classes=classes)
        encoder = Encoder(layout)

        def batches() -> Any:
            if not parquet:
                return table.to_batches(max_chunksize=BATCH)
            file = pq.ParquetFile(path.with_suffix(".parquet"), read_dictionary=list(layout.categories))
            return file.iter_batches(BATCH)

        def learn(limit: int | None) -> list[np.ndarray]:
            state, found = made.start(layout, 0), []
            for batch in batches():
                rows = encoder.encode(batch)
                found.append(
                    made.learn(state, rows, np.asarray(batch.column("label").to_numpy(), np.float64))
                )
                if limit:
                    break
            return found

        learn(1)
        begin = time.perf_counter()
        found = learn(None)
        return time.perf_counter() - begin, np.concatenate(found)

    return run


def logistic(optimiser: str, rate: float, **settings: Any) -> Callable[[Any, int], Any]:
    """Logistic regression, or softmax where there are more classes than two."""

    def make(online: Any, classes: int) -> Any:
        kind = online.Logistic if classes == 2 else online.Softmax
        return kind(getattr(online, optimiser)(rate, **settings))

    return make


def river(optimiser: str, rate: float) -> Callable[[Path], Answer]:
    """River's scaled logistic regression, or softmax."""

    def run(path: Path) -> Answer:
        from river import compose, linear_model, optim, preprocessing

        table = read(path)
        y = table.column("label").to_numpy()
        classes = int(y.max()) + 1
        names = table.schema.names[:-1]
        texts = [n for n in names if pa.types.is_string(table.schema.field(n).type)]
        chosen = getattr(optim, optimiser)(rate)
        last = (
            linear_model.LogisticRegression(chosen)
            if classes == 2
            else linear_model.SoftmaxRegression(chosen)
        )
        scaled = compose.SelectType(float) | preprocessing.StandardScaler()
        front = scaled + (compose.SelectType(str) | preprocessing.OneHotEncoder()) if texts else scaled
        model = front | last
        out = np.zeros((len(y), classes))
        rows = table.select(names).to_pylist()
        begin = time.perf_counter()
        for i, row in enumerate(rows):
            shares = model.predict_proba_one(row)
            out[i] = [shares.get(k, 0.0) for k in range(classes)]
            model.learn_one(row, int(y[i]))
        return time.perf_counter() - begin, out

    return run


def vowpal_wabbit(options: str) -> Callable[[Path], Answer]:
    """Vowpal Wabbit over lines of text in memory; making the lines is not counted."""

    def run(path: Path) -> Answer:
        from vowpalwabbit import Workspace
        from vowpalwabbit.pyvw import get_prediction

        table = read(path)
        y = table.column("label").to_numpy()
        classes = int(y.max()) + 1
        names = table.schema.names[:-1]
        texts = {n for n in names if pa.types.is_string(table.schema.field(n).type)}
        deviations = {n: table.column(n).to_numpy().std() or 1.0 for n in names if n not in texts}
        kind = "--loss_function logistic --link logistic"
        if classes > 2:
            kind = f"--oaa {classes} --probabilities --loss_function logistic"
        lines = []
        for row, label in zip(table.to_pylist(), y.tolist(), strict=True):
            features = " ".join(
                f"{n}={row[n]}" if n in texts else f"{n}:{row[n] / deviations[n]:.6g}" for n in names
            )
            target = str(2 * label - 1) if classes == 2 else str(label + 1)
            lines.append(f"{target} | {features}")
        model = Workspace(f"{kind} {options} --quiet")
        out = np.zeros((len(y), classes) if classes > 2 else len(y))
        begin = time.perf_counter()
        for i, line in enumerate(lines):
            example = model.parse(line)
            model.learn(example)  # the prediction that it leaves was made before it was learned
            out[i] = get_prediction(example, model.get_prediction_type())
            model.finish_example(example)
        return time.perf_counter() - begin, out

    return run


def scikit_learn(batch: int) -> Callable[[Path], Answer]:
    """SGDClassifier.partial_fit over batches: test, then train; numbers are scaled by what came before."""

    def run(path: Path) -> Answer:
        from sklearn.linear_model import SGDClassifier
        from sklearn.preprocessing import StandardScaler

        table = read(path)
        y = table.column("label").to_numpy()
        names = [n for n in table.schema.names[:-1] if not pa.types.is_string(table.schema.field(n).type)]
        X = np.column_stack([table.column(n).to_numpy() for n in names])
        classes = np.arange(int(y.max()) + 1)
        out = np.full((len(y), len(classes)), 1 / len(classes))
        model, scaler = SGDClassifier(loss="log_loss"), StandardScaler()
        begin = time.perf_counter()
        for start in range(0, len(y), batch):
            part = slice(start, start + batch)
            scaled = scaler.partial_fit(X[part]).transform(X[part])
            if start:
                out[part] = model.predict_proba(scaled)
            model.partial_fit(scaled, y[part], classes=classes)
        return time.perf_counter() - begin, out

    return run


CONTENDERS: dict[str, tuple[str, Callable[[Path], Answer]]] = {  # name -> (group, function)
    "AdaGrad .1": ("Talkoot", talkoot(logistic("AdaGrad", 0.1))),
    "AdaGrad .5": ("Talkoot", talkoot(logistic("AdaGrad", 0.5))),
    "decayed .1": ("Talkoot", talkoot(logistic("DecayedAdaGrad", 0.1, decay=0.999))),
    "decayed .5": ("Talkoot", talkoot(logistic("DecayedAdaGrad", 0.5, decay=0.9999))),
    "FTRL .3": ("Talkoot", talkoot(logistic("FTRL", 0.3))),
    "AdaGrad .1, Parquet": ("Talkoot", talkoot(logistic("AdaGrad", 0.1), parquet=True)),
    "River AdaGrad .1": ("River", river("AdaGrad", 0.1)),
    "River AdaGrad .5": ("River", river("AdaGrad", 0.5)),
    "River SGD .01": ("River", river("SGD", 0.01)),
    "VW": ("Vowpal Wabbit", vowpal_wabbit("")),
    "VW FTRL": ("Vowpal Wabbit", vowpal_wabbit("--ftrl")),
    "scikit-learn 64": ("scikit-learn", scikit_learn(64)),
}


def log_loss(p: np.ndarray, y: np.ndarray) -> float:
    if p.ndim == 1:
        p = np.stack([1 - p, p], axis=1)
    return float(-np.log(np.clip(p[np.arange(len(y)), y], 1e-6, 1)).mean())


def main() -> None:
    path = Path(sys.argv[1])
    y = read(path).column("label").to_numpy()
    for name in sys.argv[2:]:
        try:
            seconds, predicted = CONTENDERS[name][1](path)
        except Exception as error:
            print(f"{name} failed: {error!r}", file=sys.stderr)
            continue
        found = {"name": name, "rows_per_second": len(y) / seconds, "log_loss": log_loss(predicted, y)}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

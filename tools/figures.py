"""The figures of the house: sizes of its files, import circles, and what a fit costs in openings and calls.

Run it before and after a change of structure: ``python tools/figures.py > before.txt``.
"""

from __future__ import annotations

import ast
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "talkoot"
WORDS = re.compile(r"\b(said|told|kept|asked|heard)\b", re.IGNORECASE)


def files() -> dict[str, str]:
    """Module name -> text, of every file of the package."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text()
    return found


def imported(text: str, known: set[str]) -> set[str]:
    """Modules of the package that a file imports: early, late, or for types alone."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{a.name}" for a in node.names} | {node.module}
    return names & known


def circles(texts: dict[str, str]) -> list[list[str]]:
    """Groups of files that import each other in a circle (Tarjan's strongly connected components)."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    names = [name for name in texts if name != "talkoot"]  # the lazy namespace names all
    index = {name: i for i, name in enumerate(names)}
    edges = [(index[a], index[b]) for a in names for b in imported(texts[a], set(names)) if a != b]
    rows, columns = zip(*edges, strict=True)
    graph = csr_array((np.ones(len(edges)), (rows, columns)), shape=(len(names), len(names)))
    _, labels = connected_components(graph, directed=True, connection="strong")
    groups = [[names[i] for i in np.flatnonzero(labels == label)] for label in np.unique(labels)]
    return [group for group in groups if len(group) > 1]


def structure() -> Iterator[tuple[str, object]]:
    """Sizes, circles and words."""
    texts = files()
    lengths = sorted(len(text.splitlines()) for text in texts.values())
    functions = [
        (node.end_lineno or 0) - node.lineno + 1
        for text in texts.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    folders = Counter(path.parent.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))
    yield "source lines", sum(lengths)
    yield "files", len(lengths)
    yield (
        "median / p90 / longest file",
        f"{int(np.median(lengths))} / {int(np.quantile(lengths, 0.9))} / {lengths[-1]}",
    )
    yield "longest function", max(functions)
    found = circles(texts)
    yield "files in import circles", sum(map(len, found))
    yield from (("  circle", ", ".join(group)) for group in found)
    yield (
        "lines with said, told, kept, asked or heard",
        sum(bool(WORDS.search(line)) for text in texts.values() for line in text.splitlines()),
    )
    yield "fullest folder", "{} ({} files)".format(*folders.most_common(1)[0])


@contextmanager
def counted(owner: Any, name: str, count: Callable[..., int] = lambda *a, **k: 1) -> Iterator[list[int]]:
    """Count the calls of a function, or what `count` makes of their arguments."""
    real, calls = getattr(owner, name), [0]

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        calls[0] += count(*args, **kwargs)
        return real(*args, **kwargs)

    setattr(owner, name, stand_in)
    try:
        yield calls
    finally:
        setattr(owner, name, real)


@contextmanager
def calls_between_files() -> Iterator[list[int]]:
    """Count calls from one file of the package to another, in this thread."""
    calls, here = [0], str(SOURCE)

    def profile(frame: Any, event: str, arg: object) -> None:
        del arg
        if event == "call" and frame.f_back is not None:
            a, b = frame.f_back.f_code.co_filename, frame.f_code.co_filename
            calls[0] += a != b and a.startswith(here) and b.startswith(here)

    sys.setprofile(profile)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def costs() -> Iterator[tuple[str, object]]:
    """Openings, reads, bytes and calls of a few fits."""
    import pyarrow.csv
    from sklearn.linear_model import LogisticRegression

    import talkoot as tk
    from talkoot.engines.processes import wire

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        rows = np.column_stack([rng.normal(size=(2000, 5)), rng.integers(0, 2, 2000)])
        np.savetxt(path, rows, delimiter=",", header="a,b,c,d,e,y", comments="")
        sites = {name: str(path) for name in "abcd"}

        def one() -> None:
            tk.fit(LogisticRegression(), str(path), "y", nodes=2, on=tk.Inline())

        def local() -> None:
            tk.fit(LogisticRegression(), str(path), "y", on=tk.Local(2))

        def comparison() -> None:
            tk.compare(LogisticRegression(), sites, "y", folds=4, on=tk.Inline())

        for name, job in (("fit of a CSV file", one), ("compare, 4 nodes, 4 folds", comparison)):
            with counted(tk.Inline, "open") as opened, counted(pyarrow.csv, "open_csv") as read:
                job()
            yield f"{name}: engine openings, CSV files opened", f"{opened[0]}, {read[0]}"
        local()
        with calls_between_files() as calls:
            local()
        yield "calls between files: CSV to LogisticRegression on Local", calls[0]
        with calls_between_files() as calls:
            tk.check(sites, "y", on=tk.Inline())
        yield "calls between files: check", calls[0]
    for features in (50, 512):
        X, y = rng.normal(size=(4000, features)), rng.integers(0, 2, 4000)

        def size(_: object, *messages: Any) -> int:
            question = messages if len(messages) == 2 else ()  # which nodes, and the round with its question
            frames = [m if isinstance(m, wire.Frame) else wire.frame(m) for m in question]
            return sum(len(m.head) + (m.segment.size if m.segment else 0) for m in frames)

        with counted(wire, "send", size) as sent:
            fit = tk.fit(LogisticRegression(), X, y, nodes=2, on=tk.Local(2))
        yield f"bytes sent a round and node, {features} columns", sent[0] // (2 * len(fit.history))


def deep_costs() -> Iterator[tuple[str, object]]:
    """Calls of a training of torch."""
    import torch

    import talkoot as tk

    def build() -> Any:
        module = torch.nn.Linear(4, 2)
        return module, torch.optim.SGD(module.parameters(), lr=0.1)

    X, y = np.random.default_rng(0).normal(size=(640, 4)).astype(np.float32), np.arange(640) % 2
    task = tk.Torch(build, loss=torch.nn.functional.cross_entropy, batch=32, epochs=5)
    with calls_between_files() as calls:
        tk.fit(task, X, y, on=tk.Inline(), progress=False)
    yield "calls between files: arrays to Torch, 100 steps", calls[0]


if __name__ == "__main__":
    for part in (structure, costs, deep_costs):
        for name, value in part():
            print(f"{name:58} {value}", flush=True)

"""The commands: each reads its options, calls the API and says what came of it."""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import joblib

import talkoot as tk
from talkoot.cli.estimators import estimator, rows
from talkoot.core.engine import Engine
from talkoot.watch import words
from talkoot.watch.events import EventLog
from talkoot.watch.report import report as write_report

DONE, FOUND = 0, 1


def demo(options: argparse.Namespace) -> int:
    """`talkoot demo`."""
    from talkoot.demo.show import show

    folder = run_folder(options.out, "demo")
    ok = show(folder, workers=options.workers, picture=options.picture, quiet=options.quiet)
    return DONE if ok else FOUND


def fit(options: argparse.Namespace) -> int:
    """`talkoot fit`."""
    made = estimator(options.estimator, options.set)
    folder = run_folder(options.out, options.estimator[-1])
    log, model = folder / "events.jsonl", folder / "model.joblib"
    try:
        done = tk.fit(
            made,
            rows(options.data),
            **roles(options),
            on=place(options),
            seed=options.seed,
            log=log,
            progress=False if options.quiet else None,
        )
    finally:  # a run that failed has a report as well: it says what broke
        page = write_report(log, folder / "report.html") if log.exists() else None
    joblib.dump(done.model, model)
    if options.quiet:
        print(model)
        return DONE
    size = f"{words.many(len(done.shards), 'node')}, {words.many(done.schema.rows, 'row')}"
    rounds = f"{words.many(len(done.history), 'round')} in {words.duration(done.seconds)}"
    print(f"{' + '.join(options.estimator)}: {size}, {rounds}")
    print(f"engine  {done.engine}, {done.reason}")
    print(f"model   {model}\nreport  {page}")
    return DONE


def compare(options: argparse.Namespace) -> int:
    """`talkoot compare`."""
    made = estimator(options.estimator, options.set)
    found = tk.compare(
        made,
        shards(options),
        folds=options.folds,
        repeats=options.repeats,
        scoring=options.scoring,
        on=place(options),
        seed=options.seed,
    )
    print(found)
    folder = run_folder(options.out, f"compare-{options.estimator[-1]}")
    with EventLog(folder / "events.jsonl") as log:
        log("compare", found.facts())
    page = write_report(folder, folder / "report.html")
    if not options.quiet:
        print(f"\nreport  {page}")
    return DONE


def check(options: argparse.Namespace) -> int:
    """`talkoot check`."""
    found = tk.check(shards(options), keys=options.keys, on=place(options))
    print(found)
    return FOUND if not found.ok or (options.strict and found.findings) else DONE


def verify(options: argparse.Namespace) -> int:
    """`talkoot verify`."""
    made = estimator(options.estimator, options.set)
    given = roles(options)
    dealt = given.pop("nodes")
    layouts: dict[str, Any] = {} if dealt is None else {"nodes": (dealt,)}
    found = tk.verify(made, rows(options.data), **given, **layouts, on=place(options), seed=options.seed)
    print(found)
    return DONE if found.ok else FOUND


def report(options: argparse.Namespace) -> int:
    """`talkoot report`."""
    log = Path(options.log)
    beside = log if log.is_dir() else log.parent
    print(write_report(log, options.out or beside / "report.html"))
    return DONE


def shards(options: argparse.Namespace) -> Any:
    """The rows that the options name."""
    return tk.shards(rows(options.data), **roles(options))


def roles(options: argparse.Namespace) -> dict[str, Any]:
    """What columns are for, and how rows are dealt, as keyword arguments of the API."""
    names = ("target", "weight", "by", "nodes", "columns", "encoding", "missing")
    return {name: getattr(options, name) for name in names}


def place(options: argparse.Namespace) -> Engine | None:
    """The engine that the options name; None to let Talkoot choose."""
    if options.workers:
        return tk.Local(options.workers)
    return tk.Inline(options.threads) if options.threads else None


def run_folder(out: str | None, name: str) -> Path:
    """The folder of a run: the one that was asked for, or a new one, which is not made yet."""
    if out:
        return Path(out)
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
    tries = (Path("runs") / (stem + (f"-{i}" if i else "")) for i in itertools.count())
    return next(folder for folder in tries if not folder.exists())

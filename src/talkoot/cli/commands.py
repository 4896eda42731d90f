"""The commands: each reads its options, calls the API and prints the result."""

from __future__ import annotations

import argparse
import itertools
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import talkoot as tk
from talkoot.cli.estimators import estimator, rows
from talkoot.core.engine import Engine
from talkoot.watch import words
from talkoot.watch.events import EventLog, read, unwritable
from talkoot.watch.report import report as write_report

DONE, FOUND = 0, 1


def demo(options: argparse.Namespace) -> int:
    """`talkoot demo`."""
    from talkoot.demo.show import show

    if options.picture:
        require_writable(Path(options.picture))
    with run_folder(options.out, "demo") as folder:
        ok = show(folder, workers=options.workers, picture=options.picture, quiet=options.quiet)
    return DONE if ok else FOUND


def fit(options: argparse.Namespace) -> int:
    """`talkoot fit`."""
    made = estimator(options.estimator, options.set)
    with run_folder(options.out, options.estimator[-1]) as folder:
        log, model = folder / "events.jsonl", folder / "model.talkoot"
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
        finally:  # a failed run has a report as well, with its error
            page = write_report(log, folder / "report.html") if log.exists() else None
        done.save(model)
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
    with run_folder(options.out, f"compare-{options.estimator[-1]}") as folder:
        found = tk.compare(
            made,
            shards(options),
            folds=options.folds,
            repeats=options.repeats,
            scoring=options.scoring,
            on=place(options),
            seed=options.seed,
            progress=False if options.quiet else None,
        )
        print(found)
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
    count = given.pop("nodes")
    layouts: dict[str, Any] = {} if count is None else {"nodes": (count,)}
    found = tk.verify(made, rows(options.data), **given, **layouts, on=place(options), seed=options.seed)
    print(found)
    return DONE if found.ok else FOUND


def report(options: argparse.Namespace) -> int:
    """`talkoot report`."""
    log = Path(options.log)
    folder = log if log.is_dir() else log.parent
    print(write_report(log, options.out or folder / "report.html"))
    return DONE


def shards(options: argparse.Namespace) -> Any:
    """The rows that the options name."""
    return tk.shards(rows(options.data), **roles(options))


def roles(options: argparse.Namespace) -> dict[str, Any]:
    """The roles of columns and the split over nodes, as keyword arguments of the API."""
    names = ("target", "weight", "by", "nodes", "columns", "encoding", "missing")
    return {name: getattr(options, name) for name in names}


def place(options: argparse.Namespace) -> Engine | None:
    """The engine that the options name; None to let Talkoot choose."""
    if options.workers:
        return tk.Local(options.workers)
    return tk.Inline(options.threads) if options.threads else None


@contextmanager
def run_folder(out: str | None, name: str) -> Iterator[Path]:
    """The folder of a run: `out`, or a new one, which is removed if the run fails before its first round.

    Raises:
        DataError: it cannot be written to; found before training.
    """
    if out:
        folder = Path(out)
    else:
        stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
        tries = (Path("runs") / (stem + (f"-{i}" if i else "")) for i in itertools.count())
        folder = next(folder for folder in tries if not folder.exists())
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        require_writable(folder / "report.html")
    except OSError as error:
        raise unwritable("to", folder, error) from None
    try:
        yield folder
    except BaseException:
        log = folder / "events.jsonl"
        if not out and not (log.exists() and any(e["event"] in ("round", "step") for e in read(log))):
            shutil.rmtree(folder)
        for place in made:
            with suppress(OSError):  # it is not empty
                place.rmdir()
        raise


def require_writable(file: Path) -> None:
    """Check before a run that a file can be written.

    Raises:
        DataError: it cannot.
    """
    new = not file.exists()
    try:
        with file.open("ab"):
            pass
        if new:
            file.unlink()
    except OSError as error:
        raise unwritable("to", file, error) from None

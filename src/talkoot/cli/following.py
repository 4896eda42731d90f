"""`talkoot follow`: its options, and what it does."""

from __future__ import annotations

import argparse
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from talkoot.cli.arguments import Parser, add_command, lazy_command, positive


def add_follow(commands: Any) -> Parser:
    """`talkoot follow`, as the parser sees it."""
    command = add_command(
        commands,
        "follow",
        "Learn from a stream, row by row, each of them exactly once.",
        "talkoot follow payments/ --target fraud --learner logistic --store runs/fraud",
        "Ctrl-C ends it; the same command goes on where it was, also after a kill.",
        run=lazy_command("talkoot.cli.following", "follow"),
    )
    command.add_argument("source", metavar="SOURCE", help="a segment log, or a folder of files")
    command.add_argument("--learner", default="logistic", metavar="NAME", help="of tk.online (logistic)")
    command.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of it; may be repeated"
    )
    roles = command.add_argument_group("columns")
    roles.add_argument("--target", metavar="COLUMN", help="what is to be predicted")
    roles.add_argument("--time", metavar="COLUMN", help="when a row happened")
    roles.add_argument("--id", metavar="COLUMN", help="names a row, and is not learned from")
    _add_late(command)
    run = command.add_argument_group("run")
    run.add_argument("--store", metavar="FOLDER", help="what must not be lost; runs/follow by default")
    run.add_argument("--until", default="end", metavar="WHEN", help="end (default), rows, a time, or never")
    run.add_argument("--every", type=positive, metavar="ROWS", help="rows of a node between meetings (10000)")
    run.add_argument("--grace", metavar="TIME", help="how much older than the newest row one may be")
    run.add_argument(
        "--gone",
        choices=("stop", "earliest", "latest"),
        default="stop",
        help="where rows were deleted (stop)",
    )
    run.add_argument(
        "--drift",
        choices=("alert", "boost", "reset", "challenger", "roll back"),
        help="watch the model for change, and what to do when its loss has risen",
    )
    run.add_argument("--nodes", type=positive, default=1, metavar="N", help="share the partitions (1)")
    run.add_argument("--workers", type=positive, metavar="N", help="on N worker processes of this machine")
    run.add_argument("--seed", type=int, default=0, metavar="N", help="all random numbers follow from it")
    run.add_argument("--quiet", action="store_true", help="print only the result")
    return command


def _add_late(command: Parser) -> None:
    late = command.add_argument_group("labels that come later than rows")
    late.add_argument("--labels", metavar="SOURCE", help="their stream: a segment log, or a folder of files")
    late.add_argument("--arrives", metavar="COLUMN", help="of that stream: when a label became known")
    late.add_argument("--mature", metavar="TIME", help="no label comes after so long, such as 30d")
    late.add_argument("--negative", metavar="LABEL", help="the label of such rows (0); none: leave them out")


def follow(options: argparse.Namespace) -> int:
    """`talkoot follow`."""
    import talkoot as tk
    from talkoot.watch import words
    from talkoot.watch.report import report

    store = Path(options.store or "runs/follow")
    made = _model(options.learner, options.set)
    found = tk.follow(
        made,
        options.source,
        options.target,
        time=options.time,
        id=options.id,
        labels=_labels(options),
        drift=options.drift,
        nodes=options.nodes,
        on=tk.Local(options.workers) if options.workers else None,
        sync=tk.every(rows=options.every) if options.every else None,
        store=store,
        until=_until(options.until),
        grace=_number(options.grace),
        gone=options.gone,
        seed=options.seed,
        progress=False if options.quiet else None,
    )
    page = report(store, store / "report.html")
    scores = "".join(
        f", {name} {words.number(value)}" for name, value in found.metrics.items() if name != "rows"
    )
    print(f"{type(made).__name__}: version {found.version}, {words.many(found.rows, 'row')}{scores}")
    for reason, count in found.rejected.items():
        print(f"aside   {words.many(count, 'row')}: {reason}")
    if found.labels:
        print("labels  " + ", ".join(f"{count:,} {what}" for what, count in found.labels.items() if count))
    for change in found.changes:
        print(f"change  {change}")
    print(f"store   {store}\nreport  {page}")
    if found.interrupted:
        raise KeyboardInterrupt
    return 0


def _labels(options: argparse.Namespace) -> Any:
    """How labels find their rows, where they come later."""
    import talkoot as tk
    from talkoot.cli.estimators import setting
    from talkoot.core.errors import PlanError

    names = ("arrives", "mature", "negative")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.labels is None:
        if given:
            raise PlanError(
                f"--{min(given)} is for labels that come later", cure="Name their stream: --labels."
            )
        return None
    if not options.id:
        raise PlanError("--labels lacks the column that rows and labels share", cure="Name it with --id.")
    if "mature" in given:
        given["mature"] = _number(given["mature"])
    if "negative" in given:
        given["negative"] = (
            None if given["negative"] == "none" else setting(f"negative={given['negative']}")[1]
        )
    return tk.Labels(options.labels, id=options.id, time=options.time, **given)


def _model(name: str, settings: list[str]) -> Any:
    """A model of tk.online by its name, in any case."""
    from talkoot import online
    from talkoot.cli.estimators import setting
    from talkoot.core.errors import PlanError
    from talkoot.learners.online.model import OnlineModel

    models = {n.lower(): kind for n in online.__all__ if issubclass(kind := getattr(online, n), OnlineModel)}
    if name.lower() not in models:
        near = get_close_matches(name.lower(), models, n=1)
        cure = f"Did you mean {near[0]}?" if near else f"The learners are {', '.join(sorted(models))}."
        raise PlanError(f"there is no learner {name!r}", cure=cure)
    kind, given = models[name.lower()], dict(map(setting, settings))
    try:
        return kind(**given)
    except TypeError as error:
        raise PlanError(
            f"--set: {error}", cure=f"See help(tk.online.{models[name.lower()].__name__})."
        ) from error


def _until(text: str) -> str | int | None:
    if text == "never":
        return None
    return int(text) if text.isdigit() else text


def _number(text: str | None) -> float | str | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return text

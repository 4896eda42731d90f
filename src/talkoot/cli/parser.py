"""The options of the command line. Imports nothing heavy, so that help is instant."""

from __future__ import annotations

from typing import Any

import talkoot
from talkoot.cli.arguments import Parser, add_command, lazy_command, positive
from talkoot.cli.following import add_follow
from talkoot.cli.groups import add_coordinator, add_evidence, add_plan, add_provision, add_site


def parser() -> Parser:
    """The parser of all commands."""
    top = Parser(
        prog="talkoot", description="Learn from rows that are in many places, as if they were in one."
    )
    top.add_argument("--version", action="version", version=f"talkoot {talkoot.__version__}")
    top.set_defaults(debug=False)
    commands = top.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    made = [add(commands) for add in (_demo, _fit, _compare, _check, _verify, _report)]
    made += [add_follow(commands), *add_provision(commands), add_coordinator(commands), *add_site(commands)]
    made += [*add_plan(commands), add_evidence(commands)]
    for command in made:
        command.set_defaults(
            options=[option for action in command._actions for option in action.option_strings]
        )
    return top


def _add(commands: Any, name: str, about: str, example: str, more: str = "") -> Parser:
    run = lazy_command("talkoot.cli.commands", name)
    return add_command(commands, name, about, example, more, run=run)


def _demo(commands: Any) -> Parser:
    command = _add(commands, "demo", "Six lenders learn together on this machine.", "talkoot demo")
    command.add_argument(
        "--out", metavar="FOLDER", help="where to write the log and the report; runs/... by default"
    )
    command.add_argument("--picture", metavar="FILE", help="also draw the result as an SVG file")
    command.add_argument(
        "--workers", type=positive, default=4, metavar="N", help="worker processes (default 4)"
    )
    command.add_argument("--quiet", action="store_true", help="no live view")
    return command


def _fit(commands: Any) -> Parser:
    command = _add(
        commands,
        "fit",
        "Fit a scikit-learn estimator to the rows of all nodes.",
        "talkoot fit StandardScaler LogisticRegression --set C=0.5 \\\n"
        "      --data 'claims/*.parquet' --target fraud --by region",
        "Writes the event log, the report and the fitted estimator, for talkoot.load().",
    )
    _estimator(command)
    _data(command)
    _place(command)
    command.add_argument("--out", metavar="FOLDER", help="where to write the run; runs/TIME-NAME by default")
    return command


def _compare(commands: Any) -> Parser:
    command = _add(
        commands,
        "compare",
        "Does working together pay? Alone, together and pooled, node by node.",
        "talkoot compare LogisticRegression --data cleveland=a.csv hungary=b.csv --target ill",
    )
    _estimator(command)
    _data(command)
    _place(command)
    command.add_argument(
        "--folds", type=positive, default=5, metavar="N", help="parts of each node's rows (default 5)"
    )
    command.add_argument("--repeats", type=positive, default=1, metavar="N", help="number of random splits")
    command.add_argument("--scoring", metavar="NAME", help="a scorer of scikit-learn, such as roc_auc")
    command.add_argument(
        "--out", metavar="FOLDER", help="where to write the report; runs/TIME-NAME by default"
    )
    return command


def _check(commands: Any) -> Parser:
    command = _add(
        commands,
        "check",
        "Do the nodes' data agree? Columns, units, categories, missing values, labels, duplicates.",
        "talkoot check --data cleveland=a.csv hungary=b.csv --target ill --keys patient",
        "Ends with 1 if something was found that makes training fail, or reads one thing as another;\n"
        "with --strict, if anything was found at all.",
    )
    _data(command)
    _place(command)
    command.add_argument(
        "--keys", nargs="+", metavar="COLUMN", help="tell rows apart, to find those of two nodes"
    )
    command.add_argument("--strict", action="store_true", help="end with 1 for warnings and notes too")
    return command


def _verify(commands: Any) -> Parser:
    command = _add(
        commands,
        "verify",
        "Is it the same answer as on one machine? Fits both ways and compares.",
        "talkoot verify Ridge --data 'claims/*.parquet' --target cost --by region",
    )
    _estimator(command)
    _data(command)
    _place(command)
    return command


def _report(commands: Any) -> Parser:
    command = _add(
        commands,
        "report",
        "Write the report of a run as one HTML file.",
        "talkoot report runs/20260102-030405-fit",
    )
    command.add_argument("log", metavar="RUN", help="a run's folder, or its events.jsonl")
    command.add_argument(
        "--out", metavar="FILE", help="the HTML file; report.html in the folder of the log by default"
    )
    return command


def _estimator(command: Parser) -> None:
    command.add_argument("estimator", nargs="+", help="scikit-learn class; several make a pipeline")
    command.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of it; may be repeated"
    )


def _data(command: Parser) -> None:
    group = command.add_argument_group("rows")
    group.add_argument(
        "--data",
        nargs="+",
        required=True,
        metavar="PATH",
        help="files, folders or globs; or NODE=PATH for each node",
    )
    group.add_argument("--target", metavar="COLUMN", help="what is to be predicted")
    group.add_argument("--weight", metavar="COLUMN", help="sample weights")
    group.add_argument("--by", metavar="COLUMN", help="its values name the nodes")
    group.add_argument("--nodes", type=positive, metavar="N", help="split the rows over N nodes")
    group.add_argument(
        "--columns", nargs="+", metavar="COLUMN", help="the features; all other columns by default"
    )
    group.add_argument(
        "--encoding", metavar="NAME", help="how CSV files are encoded, such as cp1252; UTF-8 by default"
    )
    group.add_argument("--missing", nargs="+", metavar="TEXT", help="stands for a missing value, such as '?'")


def _place(command: Parser) -> None:
    group = command.add_argument_group("place")
    where = group.add_mutually_exclusive_group()
    where.add_argument("--workers", type=positive, metavar="N", help="N worker processes on this machine")
    where.add_argument("--threads", type=positive, metavar="N", help="N threads of this process")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="all random numbers follow from it")
    group.add_argument("--quiet", action="store_true", help="print only the result")

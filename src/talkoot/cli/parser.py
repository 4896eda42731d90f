"""The options of the command line. Imports nothing heavy, so that help is instant."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn, final

import talkoot

Command = Callable[[argparse.Namespace], int]


@final
class Parser(argparse.ArgumentParser):
    """argparse that suggests the nearest valid option or command."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, or exit with status 2."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            command = getattr(found, "command", None)
            known = getattr(found, "options", ())
            near = get_close_matches(unknown[0].split("=")[0], known, n=1)
            hint = (
                f"; did you mean {near[0]}?"
                if near
                else f". See talkoot {command} --help."
                if command
                else ""
            )
            self.error(f"unknown argument {unknown[0]}{hint}")
        return found

    def error(self, message: str) -> NoReturn:
        """Print one line on what is wrong, and exit with status 2."""
        choice = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message)
        if choice:
            known = re.findall(r"[\w-]+", choice[2])
            near = get_close_matches(choice[1], known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"take one of {', '.join(known)}."
            message = f"there is no {choice[1]!r}; {hint}"
        self.exit(2, f"{self.prog}: {message}\n")


def lazy_command(module: str, name: str) -> Command:
    """A command that is imported when it runs."""

    def run(options: argparse.Namespace) -> int:
        command: Command = getattr(import_module(module), name)
        return command(options)

    return run


def parser() -> Parser:
    """The parser of all commands."""
    top = Parser(
        prog="talkoot", description="Learn from rows that are in many places, as if they were in one."
    )
    top.add_argument("--version", action="version", version=f"talkoot {talkoot.__version__}")
    top.set_defaults(debug=False)
    commands = top.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    for add in (_demo, _fit, _compare, _check, _verify, _report, _coordinator, _site):
        command = add(commands)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(
            options=[option for action in command._actions for option in action.option_strings]
        )
    return top


def _add(
    commands: Any,
    name: str,
    about: str,
    example: str,
    more: str = "",
    *,
    module: str = "talkoot.cli.commands",
) -> Parser:
    command: Parser = commands.add_parser(
        name,
        help=about,
        description=f"{about}\n{more}".strip(),
        epilog=f"example:\n  {example}",
        prog=f"talkoot {name}",
    )
    command.set_defaults(run=lazy_command(module, name))
    return command


def _demo(commands: Any) -> Parser:
    command = _add(commands, "demo", "Four areas of forest learn together on this machine.", "talkoot demo")
    command.add_argument(
        "--out", metavar="FOLDER", help="where to write the log and the report; runs/... by default"
    )
    command.add_argument("--picture", metavar="FILE", help="also draw the result as an SVG file")
    command.add_argument(
        "--workers", type=_positive, default=4, metavar="N", help="worker processes (default 4)"
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
        "--folds", type=_positive, default=5, metavar="N", help="parts of each node's rows (default 5)"
    )
    command.add_argument("--repeats", type=_positive, default=1, metavar="N", help="number of random splits")
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


def _coordinator(commands: Any) -> Parser:
    command = _add(
        commands,
        "coordinator",
        "Run the coordinator of a federation: sites and researchers call it.",
        "talkoot coordinator hub",
        "The folder holds its certificate and coordinator.toml, in which listen = names the port.",
        module="talkoot.cli.federation",
    )
    command.add_argument("folder", metavar="FOLDER", help="the coordinator's folder")
    return command


def _site(commands: Any) -> Parser:
    command = _add(
        commands,
        "site",
        "Run a site of a federation: it calls the coordinator, and its rows stay here.",
        "talkoot site oslo",
        "The folder holds its certificate, site.toml (the coordinator, the rows) and policy.toml.",
        module="talkoot.cli.federation",
    )
    command.add_argument("folder", metavar="FOLDER", help="the site's folder")
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
    group.add_argument("--nodes", type=_positive, metavar="N", help="split the rows over N nodes")
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
    where.add_argument("--workers", type=_positive, metavar="N", help="N worker processes on this machine")
    where.add_argument("--threads", type=_positive, metavar="N", help="N threads of this process")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="all random numbers follow from it")
    group.add_argument("--quiet", action="store_true", help="print only the result")


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number

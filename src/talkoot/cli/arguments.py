"""The pieces that the parser of every command is made of."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn, final

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


def add_command(
    commands: Any, name: str, about: str, example: str, more: str = "", *, group: str = "", run: Command
) -> Parser:
    """A command, or one of a group of commands."""
    whole = f"{group} {name}".strip()
    command: Parser = commands.add_parser(
        name,
        help=about,
        description=f"{about}\n{more}".strip(),
        epilog=f"example:\n  {example}",
        prog=f"talkoot {whole}",
    )
    command.set_defaults(run=run, command=whole)
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return command


def positive(text: str) -> int:
    """A whole number from 1 on."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number

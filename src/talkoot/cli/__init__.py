"""The command line: `talkoot demo | fit | follow | compare | check | verify | report`. Thin over the API."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import TextIO

from talkoot.cli.parser import parser

OK, BAD, BROKEN, INTERRUPTED = 0, 2, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code.

    0: success. 1: a check found errors (with --strict: anything), or a verification failed. 2: wrong usage
    or data. 3: an internal error, with its traceback. 130: Ctrl-C.

    Args:
        arguments: of the command line; those of this process by default.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments:
        parser().print_help()
        return BAD
    options = parser().parse_args(arguments)
    warnings.showwarning = _warn
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the pipe has ended, such as head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:
        return _failed(error, debug=options.debug)


def _failed(error: Exception, debug: bool) -> int:
    from talkoot.core.errors import TalkootError

    if isinstance(error, TalkootError):
        if debug:
            traceback.print_exception(error)
        print(f"talkoot: {error}", file=sys.stderr)
        return BAD
    traceback.print_exception(error)
    print("talkoot: this should not happen; please report it with the lines above.", file=sys.stderr)
    return BROKEN


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"warning: {message}", file=file or sys.stderr)

"""The programs of a federation, as commands: they run until they are stopped."""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

Serve = Callable[[Path, Callable[[str], None]], Coroutine[Any, Any, None]]


def coordinator(options: argparse.Namespace) -> int:
    """`talkoot coordinator`."""
    from talkoot.engines.federation.coordinator.program import serve

    return _run(serve, options)


def site(options: argparse.Namespace) -> int:
    """`talkoot site run`."""
    from talkoot.engines.federation.site.program import serve

    return _run(serve, options)


def _run(serve: Serve, options: argparse.Namespace) -> int:
    """Run a program until Ctrl-C, which is how it ends."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    try:
        asyncio.run(serve(Path(options.folder).expanduser(), say))
    except KeyboardInterrupt:
        say("stopped; start it again and it goes on where it was")
    return 0


def say(line: str) -> None:
    """A line on what the program does, with the time; it goes on if nobody can read it."""
    with suppress(OSError):  # the disk behind it is full, for example
        print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)

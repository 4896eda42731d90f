"""The programs of a federation, as commands: they run until they are stopped."""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talkoot.cli.page import page_on
from talkoot.watch.overview import overview_page

if TYPE_CHECKING:
    from talkoot.engines.federation.coordinator.coordinator import Coordinator

PATIENCE = 5.0  # seconds that the page waits for the program
Serve = Callable[[Path, Callable[[str], None]], Coroutine[Any, Any, None]]


def coordinator(options: argparse.Namespace) -> int:
    """`talkoot coordinator`."""
    from talkoot.engines.federation.coordinator.program import serve

    show = None if options.page is None else partial(_page, options.page)
    return _run(partial(serve, show=show), options.folder)


@contextmanager
def _page(port: int, coordinator: Coordinator) -> Iterator[str]:
    """A page on loopback that shows the coordinator."""
    from talkoot.engines.federation.coordinator.overview import overview

    loop, name = asyncio.get_running_loop(), coordinator.name

    def render() -> str:
        facts = asyncio.run_coroutine_threadsafe(overview(coordinator), loop).result(PATIENCE)
        return overview_page(name, facts)

    with page_on(port, render) as address:
        yield address


def site(options: argparse.Namespace) -> int:
    """`talkoot site run`."""
    from talkoot.engines.federation.site.program import serve

    return _run(serve, *options.folders)


def _run(serve: Serve, *folders: str) -> int:
    """Run the programs of these folders until Ctrl-C, which is how they end, or until one is refused."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)

    async def all_of_them() -> None:
        paths = [Path(folder).expanduser() for folder in folders]
        names = [f"{path.name}: " if paths[1:] else "" for path in paths]
        lines = [partial(say, about=name) for name in names]
        await asyncio.gather(*(serve(path, line) for path, line in zip(paths, lines, strict=True)))

    try:
        asyncio.run(all_of_them())
    except KeyboardInterrupt:
        say("stopped; start it again and it goes on where it was")
    return 0


def say(line: str, *, about: str = "") -> None:
    """A line on what the program does, with the time; it goes on if nobody can read it."""
    with suppress(OSError):  # the disk behind it is full, for example
        print(f"{time.strftime('%H:%M:%S')} {about}{line}", flush=True)

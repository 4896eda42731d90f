"""A process that follows a stream, and is killed at a line of it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, final

from talkoot.stream.sources.source import Reader, Source

PARTS = ("talkoot/stream/", "talkoot/core/run.py", "talkoot/api/follow")


def kill_at(line: int, once: Path | None = None) -> None:
    """Kill this process at so many lines of following from now on; with `once`, only the first that comes."""
    lines = itertools.count(1)

    def count(frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line" and next(lines) == line and _first(once):
            os.kill(os.getpid(), signal.SIGKILL)
        return count

    def begin(frame: FrameType, event: str, arg: Any) -> Any:
        return count if any(part in frame.f_code.co_filename for part in PARTS) else None

    threading.settrace(begin)
    sys.settrace(begin)


def _first(once: Path | None) -> bool:
    if once is None:
        return True
    try:
        once.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@final
@dataclass(frozen=True)
class Deadly(Source):
    """A stream whose first reader in another process has that one killed at a line of following."""

    source: Source
    line: int
    once: Path
    driver: int

    def partitions(self) -> tuple[str, ...]:
        return self.source.partitions()

    def open(self, partition: str) -> Reader:
        if os.getpid() != self.driver and not self.once.exists():
            kill_at(self.line, self.once)
        return self.source.open(partition)


def main(settings: dict[str, Any]) -> None:
    from tiny import Apart, Tiny, table

    import talkoot as tk
    from talkoot.api.follow import follow
    from talkoot.stream.sources.memory import Memory

    parts = {str(part): table(rows, part) for part, rows in enumerate(settings["rows"])}
    source: Source = Memory(parts)
    if "worker" in settings:
        source = Deadly(source, settings["worker"], Path(settings["once"]), os.getpid())
    if "line" in settings:
        kill_at(settings["line"])
    follow(
        Apart() if settings.get("apart") else Tiny(),
        source,
        "y",
        nodes=settings.get("nodes", 1),
        on=tk.Local(settings["workers"]) if "workers" in settings else None,
        sync=tk.every(rows=settings.get("every", 50), **settings.get("sync", {})),
        store=settings["store"],
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

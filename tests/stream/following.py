"""A process that follows a stream, and is killed at a line of it."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, final

from talkoot.stream.sinks.folder import LogSink
from talkoot.stream.sources.folder import Folder
from talkoot.stream.sources.kafka import Kafka
from talkoot.stream.sources.log.log import SegmentLog
from talkoot.stream.sources.memory import Memory
from talkoot.stream.sources.redis import Redis
from talkoot.stream.sources.source import Reader, Source

PARTS = ("talkoot/stream/", "talkoot/core/run.py", "talkoot/api/follow")


def kill_at(lines: Mapping[int, int], once: Path | None = None) -> Iterator[int]:
    """Kill processes at lines of following, as they are counted from now on.

    Args:
        lines: the process that is killed at a line, by the line.
        once: a file of processes that share one kill: only the first that comes to it.

    Returns:
        The counter.
    """
    counter = itertools.count(1)

    def count(frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line" and (line := next(counter)) in lines and _first(once):
            os.kill(lines[line], signal.SIGKILL)
        return count

    def begin(frame: FrameType, event: str, arg: Any) -> Any:
        return count if any(part in frame.f_code.co_filename for part in PARTS) else None

    threading.settrace(begin)
    sys.settrace(begin)
    return counter


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
            kill_at({self.line: os.getpid()}, self.once)
        return self.source.open(partition)


def source_of(settings: dict[str, Any]) -> Source:
    """The stream: tables in memory, or what was written before."""
    from late import parts
    from tiny import table

    if settings.get("late"):
        return Memory(parts(settings["rows"])[0])
    match settings.get("source", "memory"):
        case "log":
            return SegmentLog(settings["at"])
        case "folder":
            return Folder(settings["at"])
        case "redis":
            return Redis(tuple(settings["at"]), settings["url"], columns=settings["columns"], group="once")
        case "kafka":
            config = {"bootstrap.servers": settings["url"], "log_level": 0}
            return Kafka(settings["at"], config, columns=settings["columns"])
    return Memory({str(part): table(rows, part) for part, rows in enumerate(settings["rows"])})


def main(settings: dict[str, Any]) -> None:
    from late import parts, rule
    from tiny import Apart, Tiny

    import talkoot as tk
    from talkoot.api.follow import follow

    source, late = source_of(settings), None
    if settings.get("late"):
        late = rule(Memory(parts(settings["rows"])[1]), mature=40)
    if "worker" in settings:
        source = Deadly(source, settings["worker"], Path(settings["once"]), os.getpid())
    lines: Iterator[int] = iter(())
    if "kills" in settings or "count" in settings:
        lines = kill_at({line: pid or os.getpid() for line, pid in settings.get("kills", [])})
    follow(
        Apart() if settings.get("apart") else Tiny(),
        source,
        "y",
        labels=late,
        nodes=settings.get("nodes", 1),
        on=tk.Local(settings["workers"]) if "workers" in settings else None,
        sync=tk.every(rows=settings.get("every", 50), **settings.get("sync", {})),
        store=settings["store"],
        until=settings.get("until", "end"),
        sink=LogSink(SegmentLog(settings["sink"])) if "sink" in settings else None,
    )
    sys.settrace(None)
    if "count" in settings:
        Path(settings["count"]).write_text(str(next(lines)))

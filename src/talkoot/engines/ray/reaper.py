"""Removes what remains of a cluster that was started here, if its parent is killed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# Ray's servers end with the process that started them, except agents that retry a report for a minute.
_SCRIPT = """cat
for pid in "$@"; do grep -qs ^ray:: "/proc/$pid/comm" && kill -9 "$pid"; done
rm -rf "$0"
"""


def reaper(session: str) -> subprocess.Popen[bytes]:
    """Start a process that, after this one has ended, ends its remaining processes and removes a folder.

    `session` is the folder with Ray's logs and sockets.
    """
    pids = map(str, _descendants(os.getpid()))
    command = ["sh", "-c", _SCRIPT, session, *pids]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def _descendants(pid: int) -> Iterator[int]:
    """The descendants of a process, where the system lists them."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread may end meanwhile
            for child in map(int, task.read_text().split()):
                yield child
                yield from _descendants(child)

"""What is left of a cluster that was started here when its parent is killed, and who clears that away."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# Ray's servers go with the process that started them, but for agents that try for a minute to tell of it.
_SCRIPT = """cat
for pid in "$@"; do grep -qs ^ray:: "/proc/$pid/comm" && kill -9 "$pid"; done
rm -rf "$0"
"""


def reaper(session: str) -> subprocess.Popen[bytes]:
    """A process that, once this one is gone, ends what it left running and removes a folder.

    Args:
        session: the folder with Ray's logs and sockets.
    """
    pids = map(str, _descendants(os.getpid()))
    command = ["sh", "-c", _SCRIPT, session, *pids]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def _descendants(pid: int) -> Iterator[int]:
    """The processes below `pid`, where the system lists them."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread may end meanwhile
            for child in map(int, task.read_text().split()):
                yield child
                yield from _descendants(child)

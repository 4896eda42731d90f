"""How much memory a process can take yet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GROUP = Path("/sys/fs/cgroup")  # of this process, as a container sees it


def free_memory() -> int:
    """Bytes that this process can take yet: of the machine, of its control group and of its own limit.

    >>> free_memory() > 0
    True
    """
    return max(0, min([sys.maxsize, *_free()]))


def _free() -> Iterator[int]:
    """What is left of each limit that is known."""
    if sys.platform != "linux":
        return
    import resource

    with suppress(OSError, KeyError, ValueError):
        yield _numbers("/proc/meminfo")["MemAvailable:"] << 10
    with suppress(OSError, KeyError, ValueError):
        yield int((GROUP / "memory.max").read_text()) - _numbers(GROUP / "memory.stat")["anon"]
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if limit != resource.RLIM_INFINITY:
        yield limit - (_numbers("/proc/self/status")["VmData:"] << 10)


def _numbers(path: str | Path) -> dict[str, int]:
    """The lines of a file of the kernel that hold a name and a number."""
    words = (line.split() for line in Path(path).read_text().splitlines())
    return {each[0]: int(each[1]) for each in words if len(each) > 1 and each[1].isdigit()}

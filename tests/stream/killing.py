"""Following in processes that are killed, and what is left of it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import following
import numpy as np

from forks import FORKS
from patience import patient
from talkoot.core.digest import digest
from talkoot.stream.follow.recorded import MODEL, model_path
from talkoot.stream.store import read

THREE = {"rows": [300, 400, 200], "nodes": 3}
SMALL_ONE = {"rows": [200], "every": 20}
SMALL_THREE = {"rows": [80, 110, 60], "nodes": 3, "every": 20}


def start(store: Path, settings: dict[str, Any]) -> BaseProcess:
    """Follow in a process of its own."""
    process = FORKS.Process(target=following.main, args=({**settings, "store": str(store)},))
    process.start()
    return process


def ended(process: BaseProcess) -> int | None:
    """How a process ended."""
    process.join(patient())
    return process.exitcode


def run(store: Path, settings: dict[str, Any]) -> int | None:
    """Follow in a process of its own; returns how it ended."""
    return ended(start(store, settings))


def counted(store: Path, settings: dict[str, Any]) -> int:
    """Follow undisturbed; returns after how many lines it ended."""
    count = store.with_name("count")
    assert run(store, {**settings, "count": str(count)}) == 0
    return int(count.read_text())


def stored(store: Path) -> str:
    """The model with all counts, offsets, scores and versions, to the last bit."""
    return digest(read(model_path(store), MODEL)[MODEL])


def kill(
    store: Path, settings: dict[str, Any], lines: int, times: int, more: Iterator[Any] | None = None
) -> None:
    """Follow while the process is killed so often, then to the end.

    Args:
        store: its store.
        settings: what it follows.
        lines: what an undisturbed run needs, so that no run ends before it is killed.
        times: how often.
        more: writes more of the stream before each run.
    """
    rng, more = np.random.default_rng(times), more or iter(())
    for _ in range(times):
        grows = {"until": None} if next(more, None) else {}
        at = [[int(rng.integers(1, lines // (times + 1))), None]]
        assert run(store, {**settings, **grows, "kills": at}) == -signal.SIGKILL
    for _ in more:
        pass
    assert run(store, settings) == 0

"""Threads that cannot keep the interpreter from ending."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import final

from threadpoolctl import ThreadpoolController


@final
class Threads:
    """Daemon threads that do tasks in order, each on one core of OpenMP.

    Those of `concurrent.futures` are joined at exit, hung or not.
    """

    def __init__(self, count: int, openmp: ThreadpoolController) -> None:
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._count = count
        for _ in range(count):
            threading.Thread(target=self._serve, args=(openmp,), daemon=True).start()

    def do(self, task: Callable[[], None]) -> None:
        """Have a task done, which must not raise."""
        self._tasks.put(task)

    def stop(self) -> None:
        """Let the threads end when they have done what they were given; does not wait for them."""
        for _ in range(self._count):
            self._tasks.put(None)

    def _serve(self, openmp: ThreadpoolController) -> None:
        with openmp.limit(limits=1):
            while (task := self._tasks.get()) is not None:
                task()

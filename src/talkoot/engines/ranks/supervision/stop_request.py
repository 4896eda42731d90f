"""Requests to save or to stop before the end of a training: the ranks change, or this machine is needed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

GO_ON, SAVE, REGROUP, DRAIN = range(4)  # what a rank may request; the largest request of all ranks is done


@final
class Stopped(Exception):
    """All ranks stopped after the same step, because one of them requested it: REGROUP or DRAIN."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped after step {step}")
        self.step = step


@final
@dataclass(slots=True, eq=False)
class StopRequest:
    """Whether this rank requests that all stop."""

    poll: Callable[[], int] = lambda: GO_ON  # returns what is requested from outside; called at each report
    terminated: bool = False  # SIGTERM came

    def pending(self) -> int:
        """What this rank requests now."""
        return DRAIN if self.terminated else self.poll()

    def raise_if_stop(self, request: int, step: int) -> None:
        """Raise `Stopped` if that is what the ranks agreed on."""
        if request > SAVE:
            raise Stopped(step)

    @contextmanager
    def on_sigterm(self) -> Iterator[None]:
        """In this block SIGTERM requests DRAIN: finish the step, save, and exit.

        Python handles signals on the main thread only; for blocks on other threads, call `terminate`.
        """
        if threading.current_thread() is not threading.main_thread():
            _ON_THREADS.append(self)
            try:
                yield
            finally:
                _ON_THREADS.remove(self)
            return

        def handle(number: int, frame: object) -> None:
            del number, frame
            self.terminated = True

        before = signal.signal(signal.SIGTERM, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)


_ON_THREADS: list[StopRequest] = []  # whose blocks run on other threads than the main one


def terminate() -> bool:
    """Pass SIGTERM on to trainings on other threads; whether there are any."""
    for request in _ON_THREADS:
        request.terminated = True
    return bool(_ON_THREADS)

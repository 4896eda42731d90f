"""How training stops before its end: because the ranks change, or because this machine is needed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

GO_ON, SAVE, REGROUP, DRAIN = range(4)  # what a rank may wish, the stronger the larger


@final
class Stopped(Exception):
    """All ranks stopped behind the same step, as one of them wished.

    Args:
        wish: why.
        step: behind which step.
    """

    def __init__(self, wish: int, step: int) -> None:
        super().__init__(f"stopped behind step {step}")
        self.wish, self.step = wish, step


@final
@dataclass(slots=True, eq=False)
class StopRequest:
    """Whether this rank wants all to stop.

    Args:
        look: asked at each report what is wished from outside.
        terminated: SIGTERM came.
    """

    look: Callable[[], int] = lambda: GO_ON
    terminated: bool = False

    def wish(self) -> int:
        """What this rank wants now."""
        return DRAIN if self.terminated else self.look()

    def obey(self, wish: int, step: int) -> None:
        """Stop, if that is what the ranks want.

        Raises:
            Paused: they want to.
        """
        if wish > SAVE:
            raise Stopped(wish, step)

    @contextmanager
    def on_sigterm(self) -> Iterator[None]:
        """While this lasts, SIGTERM is a wish to drain: finish the step, save, and go.

        Python lets only the main thread listen for signals; on another one, who does so calls `terminate`.
        """
        if threading.current_thread() is not threading.main_thread():
            _ELSEWHERE.append(self)
            try:
                yield
            finally:
                _ELSEWHERE.remove(self)
            return

        def hear(number: int, frame: object) -> None:
            del number, frame
            self.terminated = True

        before = signal.signal(signal.SIGTERM, hear)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)


_ELSEWHERE: list[StopRequest] = []  # that last on other threads than the main one


def terminate() -> bool:
    """SIGTERM came: tell whoever is in training on other threads; whether there is anybody."""
    for pause in _ELSEWHERE:
        pause.terminated = True
    return bool(_ELSEWHERE)

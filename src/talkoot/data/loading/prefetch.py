"""Reading ahead on a thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Condition, Thread
from typing import Generic, TypeVar, final

from talkoot.core.errors import DataError

T = TypeVar("T")
PATIENCE = 10.0  # seconds that `close` waits for a read to end; the thread is a daemon and may be left


@final
class Prefetcher(Generic[T]):
    """What `read` gives for one step after another, read by one daemon thread before it is asked for.

    Args:
        read: the things of a step and of any number of steps after it, at least the first.
        steps: how many steps beyond the one asked for last are read.
    """

    def __init__(self, read: Callable[[int], Sequence[T]], steps: int) -> None:
        self._read, self._steps = read, steps
        self._have: dict[int, T] = {}
        self._next: int | None = None  # the step that the thread reads now or next; None for nothing
        self._asked = 0
        self._jumps = 0
        self._error: BaseException | None = None
        self._closed = False
        self._changed = Condition()
        self._thread: Thread | None = None

    def at(self, step: int) -> T:
        """What belongs to a step. Steps may be asked for in any order; consecutive ones are there already.

        Raises:
            DataError: it was closed.
            BaseException: what `read` raised; asking again reads again.
        """
        with self._changed:
            if step not in self._have and not self._is_coming(step):
                self._jump(step)
            self._have = {at: thing for at, thing in self._have.items() if at >= step}
            self._asked = step
            self._start()
            self._changed.notify_all()
            self._changed.wait_for(lambda: step in self._have or self._error is not None or self._closed)
            if step in self._have:
                return self._have[step]
            error = self._error or DataError("the feed was closed", cure="Open another.")
            self._jump(None)
            raise error

    def close(self) -> None:
        """Stop the thread."""
        with self._changed:
            self._closed = True
            self._have.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(PATIENCE)

    def _is_coming(self, step: int) -> bool:
        return self._next is not None and self._next <= step <= self._next + self._steps

    def _jump(self, step: int | None) -> None:
        self._have, self._next, self._error = {}, step, None
        self._jumps += 1

    def _start(self) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._run, name="talkoot-feed", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (job := self._job()) is not None:
            step, jumps = job
            things: Sequence[T] = ()
            error: BaseException | None = None
            try:
                things = self._read(step)
            except BaseException as raised:
                error = raised
            with self._changed:
                if jumps == self._jumps:
                    self._have.update(enumerate(things, step))
                    self._next = step + len(things) if error is None else None
                    self._error = error
                    self._changed.notify_all()

    def _job(self) -> tuple[int, int] | None:
        """The next step to read, and how often the reader has jumped; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._is_due())
            return None if self._closed or self._next is None else (self._next, self._jumps)

    def _is_due(self) -> bool:
        return self._next is not None and self._next <= self._asked + self._steps

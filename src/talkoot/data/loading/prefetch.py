"""Prefetching on a thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Condition, Thread
from typing import Generic, TypeVar, final

from talkoot.core.errors import DataError

T = TypeVar("T")
CLOSE_TIMEOUT = 10.0  # seconds that `close` waits for a read to end; the thread is a daemon


@final
class Prefetcher(Generic[T]):
    """Calls `read` for consecutive steps on one daemon thread, before their results are needed.

    Args:
        read: returns the results of a step and of any number of steps after it.
        steps: steps to read beyond the latest one that was requested.
    """

    def __init__(self, read: Callable[[int], Sequence[T]], steps: int) -> None:
        self._read, self._steps = read, steps
        self._results: dict[int, T] = {}
        self._next: int | None = None  # the step that the thread reads now or next
        self._requested = 0
        self._jumps = 0
        self._error: BaseException | None = None
        self._closed = False
        self._changed = Condition()
        self._thread: Thread | None = None

    def at(self, step: int) -> T:
        """The result of a step. Steps may come in any order; consecutive ones are prefetched.

        Raises:
            DataError: it was closed.
            BaseException: what `read` raised; the next call reads again.
        """
        with self._changed:
            if step not in self._results and not self._is_coming(step):
                self._jump(step)
            self._results = {at: result for at, result in self._results.items() if at >= step}
            self._requested = step
            self._start()
            self._changed.notify_all()
            self._changed.wait_for(lambda: step in self._results or self._error is not None or self._closed)
            if step in self._results:
                return self._results[step]
            error = self._error or DataError("the loader was closed", cure="Open another.")
            self._jump(None)
            raise error

    def close(self) -> None:
        """Stop the thread."""
        with self._changed:
            self._closed = True
            self._results.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(CLOSE_TIMEOUT)

    def _is_coming(self, step: int) -> bool:
        return self._next is not None and self._next <= step <= self._next + self._steps

    def _jump(self, step: int | None) -> None:
        self._results, self._next, self._error = {}, step, None
        self._jumps += 1

    def _start(self) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._run, name="talkoot-loader", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (job := self._job()) is not None:
            step, jumps = job
            results: Sequence[T] = ()
            error: BaseException | None = None
            try:
                results = self._read(step)
            except BaseException as raised:
                error = raised
            with self._changed:
                if jumps == self._jumps:
                    self._results.update(enumerate(results, step))
                    self._next = step + len(results) if error is None else None
                    self._error = error
                    self._changed.notify_all()

    def _job(self) -> tuple[int, int] | None:
        """The next step to read and the number of jumps so far; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._is_due())
            return None if self._closed or self._next is None else (self._next, self._jumps)

    def _is_due(self) -> bool:
        return self._next is not None and self._next <= self._requested + self._steps

"""The listeners of a run: its event log, and a view in the terminal for runs that take a while."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from talkoot.api.job import Job, run_events
from talkoot.core.engine import Emit
from talkoot.watch.events import Event, EventLog, tee
from talkoot.watch.progress import Progress
from talkoot.watch.thinned import thinned

SHOW_AFTER = 1.0  # seconds from the start of a run until it is shown


@contextmanager
def listeners(
    log: str | Path | None, progress: bool | None, events: list[Event], *, endless: bool = False
) -> Iterator[Emit]:
    """The listeners of one run, as one; on exit the log and the terminal view are closed.

    Args:
        log: where to write the event log, if anywhere.
        progress: show the run from its start, or never; None to show it on a terminal after a second.
        events: receives every event except "rows".
        endless: the run may have no end, so that `log` and `events` receive fewer and fewer of its reports.
    """

    def record(event: str, facts: Mapping[str, Any]) -> None:
        if event != "rows":
            events.append({"t": time.time(), "event": event, **facts})

    with ExitStack() as stack:
        opened: list[Emit] = [record]
        if log is not None:
            opened.append(stack.enter_context(EventLog(log)))
        if endless:
            opened = [thinned(tee(*opened))]
        if progress or (progress is None and sys.stderr.isatty()):
            view = stack.enter_context(Progress(plain=True))
            opened.append(view if progress else stack.enter_context(DelayedListener(view)))
        yield tee(*opened)


@contextmanager
def model_counter(job: Job, progress: bool | None) -> Iterator[Counter]:
    """A counter of trained models, shown in the terminal; see `listeners` for `progress`."""
    if not job.engine.is_primary:
        progress = False
    with listeners(None, progress, []) as emit, run_events(job, emit):
        yield Counter(emit)


@final
class Counter:
    """Counts the models that are trained and tested, fold by fold.

    Args:
        emit: receives events "fold": folds done ("fold") of "folds", "models" trained "of" all, and
            all work "done" of "total"; "last" is true when a fold has ended.
    """

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self._folds = self._each = self._fold = self._models = 0

    def begin(self, folds: int, models: int) -> None:
        """Start, with the number of folds and of models to train and test in each."""
        self._folds, self._each = folds, models
        self._emit_fold()

    def trained(self) -> None:
        """Count one model."""
        self._models += 1
        self._emit_fold()

    def tested(self) -> None:
        """Count one fold whose models are tested."""
        self._fold += 1
        self._emit_fold(last=True)

    def engine(self, event: str, facts: Mapping[str, Any]) -> None:
        """A listener for the engine: once models are trained, it passes on lost workers only."""
        if event == "worker" or not self._folds:
            self.emit(event, facts)

    def _emit_fold(self, *, last: bool = False) -> None:
        tests = max(1, self._each // 3)  # testing takes about a third of the time of training
        facts = {
            "fold": self._fold,
            "folds": self._folds,
            "models": self._models,
            "of": self._folds * self._each,
            "done": self._models + self._fold * tests,
            "total": self._folds * (self._each + tests),
            "last": last,
        }
        self.emit("fold", facts)


@final
class DelayedListener:
    """A listener that stores events until `after` seconds have passed, then passes all on.

    >>> received: list[str] = []
    >>> with DelayedListener(lambda event, facts: received.append(event), after=60) as delayed:
    ...     delayed("start", {})
    >>> received
    []
    """

    __slots__ = ("_emit", "_lock", "_stored", "_timer")

    def __init__(self, emit: Emit, after: float = SHOW_AFTER) -> None:
        self._emit = emit
        self._stored: list[tuple[str, Mapping[str, Any]]] | None = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(after, self._release)
        self._timer.daemon = True

    def __call__(self, event: str, facts: Mapping[str, Any]) -> None:
        """Store an event, or pass it on."""
        with self._lock:
            if self._stored is None:
                self._emit(event, facts)
            else:
                self._stored.append((event, facts))

    def _release(self) -> None:
        with self._lock:
            stored, self._stored = self._stored, None
            for event, facts in stored or ():
                self._emit(event, facts)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._timer.join()

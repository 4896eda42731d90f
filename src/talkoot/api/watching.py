"""Who hears of a run: the event log, and a view in the terminal once it is worth looking at."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from talkoot.api.job import Job, told
from talkoot.core.engine import Emit
from talkoot.watch.events import Event, EventLog, tee
from talkoot.watch.progress import Progress

PATIENCE = 1.0  # seconds that a run may take before it is shown


@contextmanager
def watched(log: str | Path | None, progress: bool | None, heard: list[Event]) -> Iterator[Emit]:
    """A listener for one run; on exit the log is closed and the terminal given back.

    Args:
        log: where to write the event log, if anywhere.
        progress: show the run from its start, or never; None for a run on a terminal that takes longer
            than a second.
        heard: gets every event but the rows that were read.
    """

    def hear(event: str, facts: Mapping[str, Any]) -> None:
        if event != "rows":
            heard.append({"t": time.time(), "event": event, **facts})

    with ExitStack() as stack:
        listeners: list[Emit] = [hear]
        if log is not None:
            listeners.append(stack.enter_context(EventLog(log)))
        if progress or (progress is None and sys.stderr.isatty()):
            view = stack.enter_context(Progress(plain=True))
            listeners.append(view if progress else stack.enter_context(Late(view)))
        yield tee(*listeners)


@contextmanager
def counted(job: Job, progress: bool | None) -> Iterator[Counter]:
    """A counter of models, shown in the terminal; see `watched` for `progress`."""
    if not job.engine.is_primary:
        progress = False
    with watched(None, progress, []) as emit, told(job, emit):
        yield Counter(emit)


@final
class Counter:
    """Tells how many models are trained and tested, fold by fold.

    Args:
        emit: hears of it as event "fold": folds done ("fold") of "folds", "models" trained "of" all, and
            all work "done" of "total"; "last" says that a fold has ended.
    """

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self._folds = self._each = self._fold = self._models = 0

    def begin(self, folds: int, models: int) -> None:
        """So many folds, in each so many models to train and to test."""
        self._folds, self._each = folds, models
        self._tell()

    def trained(self) -> None:
        """One model more."""
        self._models += 1
        self._tell()

    def tested(self) -> None:
        """The models of a fold are tested, which takes about as long as a third of their training."""
        self._fold += 1
        self._tell(last=True)

    def workers(self, event: str, facts: Mapping[str, Any]) -> None:
        """A listener for the runs behind the models: of these only lost workers are worth telling."""
        if event == "worker":
            self.emit(event, facts)

    def _tell(self, *, last: bool = False) -> None:
        tests = max(1, self._each // 3)
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
class Late:
    """A listener that keeps events to itself until `after` seconds have passed, then passes all on.

    >>> heard: list[str] = []
    >>> with Late(lambda event, facts: heard.append(event), after=60) as late:
    ...     late("start", {})
    >>> heard
    []
    """

    __slots__ = ("_emit", "_held", "_lock", "_timer")

    def __init__(self, emit: Emit, after: float = PATIENCE) -> None:
        self._emit = emit
        self._held: list[tuple[str, Mapping[str, Any]]] | None = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(after, self._release)
        self._timer.daemon = True

    def __call__(self, event: str, facts: Mapping[str, Any]) -> None:
        """Keep an event, or pass it on."""
        with self._lock:
            if self._held is None:
                self._emit(event, facts)
            else:
                self._held.append((event, facts))

    def _release(self) -> None:
        with self._lock:
            held, self._held = self._held, None
            for event, facts in held or ():
                self._emit(event, facts)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._timer.join()

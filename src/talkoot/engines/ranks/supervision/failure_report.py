"""Which rank caused a failure, found by the ranks themselves, so that all raise the same error."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, final

import torch.distributed as dist

from talkoot.core.errors import NodeFailed, NodeLost, NodeSilent, TalkootError
from talkoot.engines.ranks.collectives.torch_errors import STORE_ERRORS, is_timeout
from talkoot.engines.ranks.supervision.environment import Place

_PATIENCE = 1.0  # seconds that ranks have to write that they are still there


@final
class FailureReport:
    """What the ranks of an epoch write into the store after a failure; without a store there is one rank.

    The first rank that writes a report decides for all. The store runs in the first rank's process, so that
    rank waits until the others have read the report.
    """

    def __init__(self, store: Any, place: Place, epoch: int) -> None:
        self.store: Any = None if store is None else dist.PrefixStore(f"failure/{epoch}", store)
        self.place = place

    @contextmanager
    def publish(self, error: Exception) -> Iterator[None]:
        """Store the error, leave the group in this block, then wait until the others have read it."""
        if self.store is None:
            yield
            return
        text = str(error) if isinstance(error, TalkootError) else ""
        text = text or "".join(traceback.format_exception(error))
        _within_patience(lambda: self._write(f"raised {self.place.rank} {text}"))
        yield
        _within_patience(lambda: self._acknowledge(range(self.place.world)))

    def explain(self, error: Exception) -> TalkootError:
        """Another rank left the group: its own error if it stored one, else which ranks are gone."""
        try:
            report = _within_patience(lambda: self._agree(str(error)))
        except TimeoutError:
            report = f"silent 0 {error}"
        return _error(*(report or f"store 0 {error}").split(" ", 2))

    def _agree(self, text: str) -> str:
        """The report that holds for all ranks, written here if there is none."""
        self.store.set(f"here/{self.place.rank}", text)
        _wait(lambda: self.store.check(["report"]) or not self._absent())
        absent = self._absent()
        here = [rank for rank in range(self.place.world) if rank not in absent]
        silent = any(is_timeout(self.store.get(f"here/{rank}").decode()) for rank in here)
        kind = ("slow" if silent else "disconnected") if not absent else "silent" if silent else "lost"
        report = self._write(f"{kind} {','.join(map(str, absent or here))} {text}")
        self._acknowledge(here)
        return report

    def _write(self, report: str) -> str:
        """Write a report unless another rank was first; the one that is there now."""
        return str(self.store.compare_set("report", "", report).decode())

    def _absent(self) -> list[int]:
        return [rank for rank in range(self.place.world) if not self.store.check([f"here/{rank}"])]

    def _acknowledge(self, ranks: Iterable[int]) -> None:
        """Write that this rank has read the report; the first rank waits for all `ranks`."""
        self.store.set(f"read/{self.place.rank}", "1")
        if self.place.rank == 0:
            _wait(lambda: all(self.store.check([f"read/{rank}"]) for rank in ranks))


def _error(kind: str, ranks: str, text: str) -> TalkootError:
    node = ", ".join(f"rank {rank}" for rank in ranks.split(","))
    restart = "Look at the output of its process and at its machine; with checkpoint= the next start goes on."
    match kind:
        case "raised":
            return NodeFailed(f"{text}\nThe rank raised the error above", node=node)
        case "silent":
            return NodeSilent(f"it does not answer ({text})", node=node, cure=restart)
        case "lost":
            return NodeLost(f"its process is gone ({text})", node=node, cure=restart)
        case "slow":
            return NodeSilent(
                f"one of them kept the others waiting for longer than timeout= ({text})",
                node=node,
                cure="If a step may take so long at one rank, raise it: tk.Ranks(timeout=600). Else see that "
                "all ranks run the same steps, and that the network between them works.",
            )
        case "disconnected":
            return NodeLost(
                f"their processes live, and a connection between them broke ({text})",
                node=node,
                cure="See that no rank left the training early, such as by an error that it caught; else "
                "that the network between them works.",
            )
    return NodeLost(f"the first rank, which runs the store, is gone ({text})", node=node, cure=restart)


def _within_patience(query: Callable[[], Any]) -> Any:
    """The answer of the store; None if the process that runs it is gone.

    Raises:
        TimeoutError: that process lives and does not answer; torch would wait without end.
    """
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(query())
        except STORE_ERRORS:
            answers.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(2.5 * _PATIENCE)
    if not answers:
        raise TimeoutError
    return answers[0]


def _wait(done: Callable[[], bool]) -> None:
    ends = time.monotonic() + _PATIENCE
    while not done() and time.monotonic() < ends:
        time.sleep(0.02)

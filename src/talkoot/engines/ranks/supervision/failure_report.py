"""Whose fault it is that ranks without a director cannot go on: told to all, before all stop."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, final

import torch.distributed as dist

from talkoot.core.errors import NodeFailed, NodeLost, NodeSilent, TalkootError
from talkoot.engines.ranks.supervision.environment import Place

_PATIENCE = 1.0  # seconds that ranks have to say that they are still there
_GONE = (dist.DistError, RuntimeError)  # what a store raises whose keeper is gone


@final
class FailureReport:
    """What the ranks of an epoch tell each other through the store when something went wrong.

    All raise the same error, so the first one that knows says it for all. The first rank keeps the store,
    and waits until the others have heard.

    Args:
        store: that all ranks see; None for one that is alone.
        place: of this rank.
        epoch: every one has a verdict of its own.
    """

    def __init__(self, store: Any, place: Place, epoch: int) -> None:
        self.store: Any = None if store is None else dist.PrefixStore(f"verdict/{epoch}", store)
        self.place = place

    @contextmanager
    def own(self, error: Exception) -> Iterator[None]:
        """The rank itself raised: leave word, leave the group in here, and stay until all have heard."""
        if self.store is None:
            yield
            return
        said = str(error) if isinstance(error, TalkootError) else ""
        text = said or "".join(traceback.format_exception(error))
        _asked(lambda: self._say(f"raised {self.place.rank} {text}"))
        yield
        _asked(lambda: self._heard(range(self.place.world)))

    def on_others(self, error: Exception) -> TalkootError:
        """Another rank broke off: its own error if it left word, else which ranks are gone."""
        try:
            said = _asked(lambda: self._judged(str(error)))
        except TimeoutError:
            said = f"silent 0 {error}"
        return _error(*(said or f"store 0 {error}").split(" ", 2))

    def _judged(self, text: str) -> str:
        self.store.set(f"here/{self.place.rank}", text)
        _wait(lambda: self.store.check(["said"]) or not self._absent())
        absent = self._absent()
        here = [rank for rank in range(self.place.world) if rank not in absent]
        causes = [self.store.get(f"here/{rank}").decode() for rank in here]
        silent = any(word in cause for cause in causes for word in ("imed out", "said nothing"))
        kind = ("slow" if silent else "apart") if not absent else "silent" if silent else "lost"
        said = self._say(f"{kind} {','.join(map(str, absent or here))} {text}")
        self._heard(here)
        return said

    def _say(self, said: str) -> str:
        """Say it for all, unless another rank was first; what was said first."""
        return str(self.store.compare_set("said", "", said).decode())

    def _absent(self) -> list[int]:
        return [rank for rank in range(self.place.world) if not self.store.check([f"here/{rank}"])]

    def _heard(self, ranks: Any) -> None:
        self.store.set(f"heard/{self.place.rank}", "1")
        if self.place.rank == 0:
            _wait(lambda: all(self.store.check([f"heard/{rank}"]) for rank in ranks))


def _error(kind: str, ranks: str, text: str) -> TalkootError:
    node = ", ".join(f"rank {rank}" for rank in ranks.split(","))
    restart = "See what its process and its machine say; with checkpoint= the next start goes on."
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
        case "apart":
            return NodeLost(
                f"their processes live, and a connection between them broke ({text})",
                node=node,
                cure="See that no rank left the training early, such as by an error that it caught; else "
                "that the network between them works.",
            )
    return NodeLost(f"the first rank, which keeps the store, is gone ({text})", node=node, cure=restart)


def _asked(question: Callable[[], Any]) -> Any:
    """What the store answers; None if its keeper is gone.

    Raises:
        TimeoutError: the keeper lives and does not answer, which torch would wait for without end.
    """
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(question())
        except _GONE:
            answers.append(None)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(2.5 * _PATIENCE)
    if not answers:
        raise TimeoutError
    return answers[0]


def _wait(done: Callable[[], bool]) -> None:
    ends = time.monotonic() + _PATIENCE
    while not done() and time.monotonic() < ends:
        time.sleep(0.02)

"""Whose fault it is that ranks without a director cannot go on: told to all, before all stop."""

from __future__ import annotations

import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, final

import torch.distributed as dist

from talkoot.core.errors import NodeFailed, NodeLost, TalkootError
from talkoot.engines.ranks.environment import Place

_PATIENCE = 1.5  # seconds that ranks have to say that they are still there


@final
@dataclass(frozen=True, slots=True)
class Verdict:
    """What ranks tell each other through the store when something went wrong.

    Args:
        store: that all ranks see; None for one that is alone.
        place: of this rank.
    """

    store: Any
    place: Place

    def own(self, error: Exception) -> None:
        """The rank itself raised: leave word, and stay until the others have read it."""
        if self.store is None:
            return
        said = str(error) if isinstance(error, TalkootError) else ""
        text = said or "".join(traceback.format_exception(error))
        with suppress(dist.DistError, RuntimeError):
            self.store.set("raised", f"{self.place.rank} {text}")
            self._wait(lambda: self.store.add("read", 0) >= self.place.world - 1)

    def on_others(self, error: Exception) -> TalkootError:
        """Another rank broke off: its own error if it left word, else which ranks are gone."""
        with suppress(dist.DistError, RuntimeError):
            self.store.set(f"left/{self.place.rank}", "1")
            self._wait(lambda: self.store.check(["raised"]) or not self._silent())
            if self.store.check(["raised"]):
                self.store.add("read", 1)
                rank, _, text = self.store.get("raised").decode().partition(" ")
                return NodeFailed(f"{text}\nThe rank raised the error above", node=f"rank {rank}")
            if silent := self._silent():
                return NodeLost(
                    f"it is gone, or does not answer ({error})",
                    node=", ".join(f"rank {rank}" for rank in silent),
                    cure="See what its process and its machine say; with checkpoint= the next start goes on.",
                )
        return NodeLost(
            f"the ranks lost each other ({error})",
            node="rank 0",
            cure="If the first rank, which keeps the store, is alive, look at the network.",
        )

    def _silent(self) -> list[int]:
        return [rank for rank in range(self.place.world) if not self.store.check([f"left/{rank}"])]

    def _wait(self, done: Any) -> None:
        ends = time.monotonic() + _PATIENCE
        while not done() and time.monotonic() < ends:
            time.sleep(0.02)

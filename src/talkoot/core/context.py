"""Where and when a piece of work happens, and the random numbers that belong there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import final

import numpy as np


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Ctx:
    """The round, the node and its cohort; travels with every call.

    Args:
        round: index of the round, from 0.
        node: the node's name; empty where the server functions run.
        cohort: names of all nodes asked in this round.
        seed: the run's seed.
        steps: inner steps asked of the node between two merges, if the sync says so.
        seconds: time asked of the node between two merges, if the sync says so.
        gradient: the node is asked for the gradient of one step, not for a difference.
        delay: inner steps that the node goes on with while its update is on its way.
        fragments: the model is exchanged in that many parts, one a round in turn.
    """

    round: int = 0
    node: str = ""
    cohort: tuple[str, ...] = ()
    seed: int = 0
    steps: int | None = None
    seconds: float | None = None
    gradient: bool = False
    delay: int = 0
    fragments: int = 1

    def rng(self, stream: str) -> np.random.Generator:
        """A random generator of its own for each (seed, round, node, stream).

        >>> a, b = Ctx(node="a").rng("deal"), Ctx(node="a").rng("deal")
        >>> bool(a.random() == b.random())
        True
        """
        return stream_rng(self.seed, self.round, self.node, stream)


def stream_rng(*key: object) -> np.random.Generator:
    """A generator that is a function of `key` alone, the same on every machine."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))

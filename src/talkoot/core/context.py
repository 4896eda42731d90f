"""Where and when a piece of work happens, and the random numbers that belong there."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from talkoot.core.shard import UNKNOWN, Schema

Board = Mapping[str, Mapping[str, Mapping[str, Any]]]  # phase -> node -> what it sent, by name
_TO = "to:"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LocalWork:
    """What a node does before it answers.

    Args:
        steps: inner steps, where the sync counts in steps.
        seconds: time, where the sync counts in seconds.
        rows: rows of a stream, where the sync counts in rows.
        gradient: the gradient of one step is wanted, not a difference.
        delay: inner steps that the node goes on with while its update is on its way.
        fragments: the model is exchanged in that many parts, one a round in turn.
    """

    steps: int | None = None
    seconds: float | None = None
    rows: int | None = None
    gradient: bool = False
    delay: int = 0
    fragments: int = 1


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Ctx:
    """The round, the node and its cohort; travels with every call.

    Args:
        round: index of the round, from 0.
        node: the node's name; empty where the server functions run.
        cohort: names of all nodes that take part in this round.
        seed: the run's seed.
        work: what the node does before it answers.
        schema: what the nodes agreed on; they get it once, with the plan.
        board: what the phases of this round have brought so far: phase -> node -> arrays by name. Names
            made by `addressed` are shown to their node alone, and there without the address.
        about: where a transform holds phases, a digest of all that the node's work is a function of besides
            its rows (see `Plan.digest`): in the phases the one that the loop names, and while it works the
            one of what it was given.
    """

    round: int = 0
    node: str = ""
    cohort: tuple[str, ...] = ()
    seed: int = 0
    work: LocalWork = field(default_factory=LocalWork)
    schema: Schema = field(default=UNKNOWN, repr=False)
    board: Board = field(default_factory=dict)
    about: str = ""

    def posted(self, phase: str) -> dict[str, dict[str, Any]]:
        """What each node sent in a phase of this round, as far as this node may read it.

        >>> board = {"keys": {"a": {"public": 1, addressed("b", "share"): 2, addressed("c", "share"): 3}}}
        >>> Ctx(node="b", board=board).posted("keys")
        {'a': {'public': 1, 'share': 2}}
        """
        mine = addressed(self.node, "")
        return {
            sender: {
                name.removeprefix(mine): value
                for name, value in values.items()
                if name.startswith(mine) or not name.startswith(_TO)
            }
            for sender, values in self.board.get(phase, {}).items()
        }

    def secret(self, size: int = 32) -> bytes:
        """Random bytes from the operating system, which do not follow from the seed."""
        return secrets.token_bytes(size)

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


def mixed(words: np.ndarray) -> np.ndarray:
    """64-bit words whose bits depend on all of the word: the finaliser of splitmix64 (Steele et al. 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        words = (words ^ (words >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(words ^ (words >> np.uint64(31)))


def addressed(node: str, name: str) -> str:
    """The name of an array on the board that only `node` may read."""
    return f"{_TO}{len(node)}:{node}/{name}"

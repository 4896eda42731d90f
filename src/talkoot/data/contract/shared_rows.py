"""Rows that two sites both have: the sites compare among themselves, and report numbers of many rows alone.

Of each pair one site seals hashes of its rows for the other, which counts those that it has too. Whoever
carries the messages can read neither the hashes nor a number below the thresholds of both sites.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, final

import numpy as np

from talkoot.core.query import Answer, Query
from talkoot.core.shard import Schema, Shard
from talkoot.data.contract.hashing import Hashes, Sample, hash_rows
from talkoot.data.contract.profile import STEP, columns_of
from talkoot.data.tables.source import Source

MAX_REPEATED = 0.05  # share of repeated rows within a node above which equal rows mean nothing
MOST, FEWEST = 1 << 18, 1 << 10  # hashes of a site's rows, for all others together and for each
_HEAD = 4  # numbers before the hashes: the threshold, whether these are all, whether rows repeat, how many


class Seals(Protocol):
    """What a site brings: keys that it shares with each other site alone."""

    @property
    def peers(self) -> tuple[str, ...]:
        """The other sites, in an order that all know, without those that seal for this one."""

    @property
    def others(self) -> int:
        """How many other sites there are."""

    def seal(self, peer: str, plain: bytes) -> bytes:
        """Seal for a site."""

    def opened(self, peer: str, sealed: bytes) -> bytes:
        """Open what a site has sealed for this one."""


@final
@dataclass(frozen=True, slots=True)
class SealedRows(Query):
    """Hashes of each site's rows, sealed for those others that count them."""

    least: int = 1  # rows that two sites must share, for their number to be reported
    seals: Seals | None = field(default=None, compare=False, repr=False)
    reads: ClassVar[type[Shard]] = Source
    step_name: ClassVar[str] = STEP

    def answer(self, shard: Shard) -> Answer:
        """By the name of the site that may open it."""
        if self.seals is None:
            return {}
        own, rows = hashes_of(shard, self.seals, self.least)
        plain = to_bytes(own, self.least, min(rows, size_of(self.seals)))
        return {peer: np.frombuffer(self.seals.seal(peer, plain), np.uint8) for peer in self.seals.peers}


@final
@dataclass(frozen=True, slots=True)
class SharedRows(Query):
    """How many rows a site shares with those that sealed theirs for it. That is asked about."""

    least: int = 1  # as in `SealedRows`
    seals: Seals | None = field(default=None, compare=False, repr=False)
    reads: ClassVar[type[Shard]] = Source
    step_name: ClassVar[str] = STEP

    def answer(self, shard: Shard) -> Answer:
        """Without what others have sealed nothing is counted."""
        del shard
        return {}

    def answer_about(
        self, question: Mapping[str, Mapping[str, np.ndarray]], shard: Shard, schema: Schema
    ) -> Answer:
        """The numbers by the name of the other site: 0 for fewer than a threshold, -1 where rows repeat."""
        del schema
        if self.seals is None:
            return {}
        sealed = {peer: to[shard.name] for peer, to in question.items() if shard.name in to}
        own, _ = hashes_of(shard, self.seals, self.least)
        counts = {}
        for peer, data in sealed.items():
            theirs, least = from_bytes(self.seals.opened(peer, data.tobytes()))
            shared = round(own.shared(theirs))
            counts[peer] = -1 if own.repeat or theirs.repeat else shared * (shared >= max(least, self.least))
        return {peer: np.array([count]) for peer, count in counts.items()}


def size_of(seals: Seals) -> int:
    """How many hashes a site seals for another one."""
    return max(FEWEST, MOST // max(1, seals.others))


def hashes_of(shard: Shard, seals: Seals, least: int) -> tuple[Hashes, int]:
    """The rows of a site by all their columns and the target, and how many there are."""
    assert isinstance(shard, Source)
    names, rows = shard.layout().schema().labels, 0
    sample = Sample(size_of(seals))
    for block in shard.blocks():
        columns = dict(columns_of(block, names))
        if block.y is not None and block.y.ndim == 1:
            columns["target/"] = block.y
        sample.add(hash_rows(columns, len(block), "shared"))
        rows += len(block)
    hashes, repeats = sample.settle()
    found = Hashes(hashes, whole=bool(repeats.sum() == rows))
    more = int(repeats.sum()) - len(hashes)
    return replace(found, repeat=more >= least and more > MAX_REPEATED * repeats.sum()), rows


def to_bytes(hashes: Hashes, least: int, length: int) -> bytes:
    """Hashes on their way to another site, filled up to a length that does not show how many are distinct."""
    words = np.zeros(_HEAD + length, np.uint64)
    words[:_HEAD] = least, hashes.whole, hashes.repeat, len(hashes.sorted)
    words[_HEAD : _HEAD + len(hashes.sorted)] = hashes.sorted
    return words.tobytes()


def from_bytes(plain: bytes) -> tuple[Hashes, int]:
    """What `to_bytes` was given."""
    words = np.frombuffer(plain, np.uint64)
    least, whole, repeat, count = words[:_HEAD].tolist()
    return Hashes(words[_HEAD : _HEAD + count], whole=bool(whole), repeat=bool(repeat)), least


def shared_rows(answers: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """The answers of all sites, by pair of sites."""
    return {(peer, site): int(count[0]) for site, found in answers.items() for peer, count in found.items()}

"""A shard that tells how much of it has been read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, final

from talkoot.core.shard import Block, Shard


@final
class Counted(Shard):
    """A stand-in for a shard that calls `read` with the number of rows of each block, before it is worked on.

    `read` may raise, which ends the node's work between two blocks. In all else it is the shard, also for
    `isinstance`: learners that know a kind of shard must find it.
    """

    __slots__ = ("_read", "_shard")

    def __init__(self, shard: Shard, read: Callable[[int], None]) -> None:
        self._shard = shard
        self._read = read

    __class__: Any = property(lambda self: type(self._shard))

    @property
    def name(self) -> str:
        """The node's name."""
        return self._shard.name

    def blocks(self) -> Iterator[Block]:
        """The shard's blocks."""
        for block in self._shard.blocks():
            self._read(len(block))
            yield block

    def reading(self, rows: int) -> None:
        """Rows that a learner reads otherwise."""
        self._read(rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shard, name)

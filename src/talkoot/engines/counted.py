"""A shard that tells how much of it has been read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, final

from talkoot.core.shard import Block, Shard


@final
@dataclass(frozen=True, slots=True, eq=False)
class Counted(Shard):
    """A shard that calls `read` with the number of rows of each block, before the block is worked on.

    `read` may raise, which ends the node's work between two blocks. All else is the shard's own.
    """

    shard: Shard
    read: Callable[[int], None]

    @property
    def name(self) -> str:
        """The node's name."""
        return self.shard.name

    def blocks(self) -> Iterator[Block]:
        """The shard's blocks."""
        for block in self.shard.blocks():
            self.read(len(block))
            yield block

    def __getattr__(self, name: str) -> Any:
        return getattr(self.shard, name)

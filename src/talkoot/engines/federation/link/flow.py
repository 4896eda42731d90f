"""Bytes on their way: how many there may be over all links together, and whose turn it is."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import final

from talkoot.engines.federation.link.messages import CHUNK

BUDGET = 8 << 20  # bytes of frames on their way, over all links together
LEAST = 1 << 16  # bytes of a piece that waits until there is room for all of them
SHARES = 8  # a piece takes one of so many equal parts of the room that is left


@final
class Flow:
    """Room for bytes on their way, which links take and give back; those that find none wait in turn.

    The less room is left, the smaller are the pieces, so many links share it whatever their number.

    Args:
        budget: bytes, at least `LEAST`.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self.free = budget
        self._waiting: deque[tuple[int, asyncio.Future[int]]] = deque()

    async def take(self, most: int) -> int:
        """Wait for room; returns the bytes of it, at least one and at most so many."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((most, future))
        self._grant()
        try:
            return await future
        except asyncio.CancelledError:
            self.give(0 if future.cancelled() else future.result())
            raise

    def give(self, size: int) -> None:
        """Give room back."""
        self.free += size
        self._grant()

    def _grant(self) -> None:
        while self._waiting:
            most, future = self._waiting[0]
            if not future.cancelled():
                if self.free < min(most, LEAST):
                    return
                size = min(most, CHUNK, max(LEAST, self.free // SHARES))
                self.free -= size
                future.set_result(size)
            self._waiting.popleft()

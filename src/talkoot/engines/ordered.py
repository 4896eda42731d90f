"""A sum that is taken in a given order, whichever part comes first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from talkoot.core.update import Update


@final
class OrderedSum:
    """Adds updates in a given order, so that the same updates give the same bits; holds only what came early.

    >>> one = OrderedSum("abcd")
    >>> for key in "cab":
    ...     one.add(key, Update(weight=2.0))
    >>> one.skip("d")
    >>> one.complete, one.total.weight
    (True, 6.0)
    """

    __slots__ = ("_early", "_order", "total")

    def __init__(self, order: Iterable[str]) -> None:
        self._order = list(order)
        self._early: dict[str, Update] = {}
        self.total = Update()

    @property
    def complete(self) -> bool:
        """Whether nobody is waited for."""
        return not self._order

    def add(self, key: str, update: Update) -> None:
        """Take in an update; each key once."""
        self._early[key] = update
        self._advance()

    def skip(self, key: str) -> None:
        """Wait for `key` no longer."""
        self._order.remove(key)
        self._advance()

    def _advance(self) -> None:
        while self._order and self._order[0] in self._early:
            self.total = self.total + self._early.pop(self._order.pop(0))

"""A sum that is taken in a given order, whichever part comes first."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import final

from talkoot.core.update import Update


@final
class OrderedSum:
    """Adds the updates of each group in their order, then the groups in theirs; holds only what came early.

    The same updates give the same bits, whichever comes first.

    >>> one = OrderedSum({0: "ad", 1: "b"})
    >>> for group, nodes in ((1, "b"), (0, "d"), (0, "a")):
    ...     one.add(group, nodes, Update(weight=2.0))
    >>> one.total.weight
    6.0
    """

    __slots__ = ("_early", "_groups", "_left", "_sums", "total")

    def __init__(self, groups: Mapping[int, Sequence[str]]) -> None:
        self._groups = deque(groups)  # those that are not in the total
        self._left = {group: [*nodes] for group, nodes in groups.items()}  # their nodes that have not come
        self._early: dict[str, Update] = {}
        self._sums: dict[int, Update] = {}
        self.total = Update()

    def add(self, group: int, nodes: Sequence[str], update: Update) -> None:
        """Take in the sum of some nodes of a group, at the place of the first of them."""
        first, *others = nodes
        left, self._early[first] = self._left[group], update
        for node in others:
            left.remove(node)
        while left and left[0] in self._early:
            part = self._early.pop(left.pop(0))
            self._sums[group] = self._sums[group] + part if group in self._sums else part
        while self._groups and not self._left[self._groups[0]]:
            self.total = self.total + self._sums.pop(self._groups.popleft())

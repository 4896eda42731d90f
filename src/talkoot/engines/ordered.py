"""Updates of one round, merged as they come where the merge allows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from talkoot.core.merge import Merge
from talkoot.core.update import Update


@final
@dataclass(slots=True, eq=False)
class OrderedMerge:
    """Holds one update where partial sums suffice, and all of them where the merge must see each.

    Updates are merged in the given order of the nodes, whichever comes first, so the same updates give
    the same bits.

    Args:
        merge: how updates become one.
        order: the nodes that are waited for.

    >>> from talkoot.core.merge import Sum
    >>> heap = OrderedMerge(Sum(), ["a", "b", "c", "d"])
    >>> for node in "cab":
    ...     heap.add(node, Update(weight=2.0))
    >>> heap.skip("d")
    >>> len(heap.held), heap.merged().weight
    (1, 6.0)
    """

    merge: Merge
    order: list[str]
    held: dict[str, Update] = field(default_factory=dict)
    early: dict[str, Update] = field(default_factory=dict)

    def add(self, node: str, update: Update) -> None:
        """Take in what `node` said; each node once."""
        self.early[node] = update
        self._take()

    def skip(self, node: str) -> None:
        """Wait for `node` no longer."""
        self.order.remove(node)
        self._take()

    def _take(self) -> None:
        while self.order and self.order[0] in self.early:
            node = self.order.pop(0)
            update = self.early.pop(node)
            if self.merge.needs == "sum" and self.held:
                first, so_far = next(iter(self.held.items()))
                self.held[first] = self.merge.merge({first: so_far, node: update})
            else:
                self.held[node] = update

    def merged(self) -> Update:
        """The merge of all that came in, in order."""
        return self.merge.merge(self.held)

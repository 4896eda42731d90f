"""The one leaf that leaves a node under a mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from talkoot.core.errors import DataError
from talkoot.guards.ring import Ring


@final
@dataclass(frozen=True, slots=True, eq=False)
class Masked:
    """All that a node sends in a round, masked. The names are no secret; all nodes must have the same.

    Masks cancel only where every node has every leaf, so a sum of unlike ones is refused.
    """

    leaves: Mapping[str, Ring]

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of leaves."""
        return (len(self.leaves),)

    @property
    def nbytes(self) -> int:
        """Bytes to send."""
        return sum(leaf.nbytes for leaf in self.leaves.values())

    @property
    def is_sound(self) -> bool:
        """Whether it holds leaves that fit together."""
        leaves: Any = self.leaves
        return isinstance(leaves, Mapping) and all(
            isinstance(leaf, Ring) and leaf.is_sound for leaf in leaves.values()
        )

    def __add__(self, other: Any) -> Masked:
        if not isinstance(other, Masked) or self.leaves.keys() != other.leaves.keys():
            theirs = other.leaves if isinstance(other, Masked) else [type(other).__name__]
            odd = sorted({*self.leaves} ^ {*theirs})
            raise DataError(
                "nodes send different sums, so masks do not cancel: "
                f"{', '.join(map(repr, odd[:5]))} is not sent by all",
                cure="Give every node the same plan and columns.",
            )
        return Masked({name: leaf + other.leaves[name] for name, leaf in self.leaves.items()})

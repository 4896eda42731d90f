"""How many updates become one: a sum that never sees one by itself, or a rule that must see each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np

from talkoot.core.errors import PlanError
from talkoot.core.update import Leaf, Update, total


class Merge(ABC):
    """Many updates into one.

    Class attributes:
        needs: "sum": engines add as updates arrive, and the sum is decoded; "each": every update is
            decoded by itself, and then merged.
    """

    needs: ClassVar[Literal["sum", "each"]]

    @abstractmethod
    def merge(self, updates: Mapping[str, Update], state: Any = None) -> tuple[Update, Any]:
        """The merged update of the nodes by name, and what the rule remembers for the next round.

        Args:
            updates: node -> its update, decoded; without any the merge is ``Update()``.
            state: what the rule remembers; None in the first round.
        """


@final
@dataclass(frozen=True, slots=True)
class Sum(Merge):
    """Each leaf merged by its kind: added, the least, the greatest, the union, the joint sketch.

    >>> one = Update(values={"n": np.array([1.0])})
    >>> Sum().merge({"a": one, "b": one})[0].values["n"].tolist()
    [2.0]
    """

    needs: ClassVar[Literal["sum", "each"]] = "sum"

    def merge(self, updates: Mapping[str, Update], state: None = None) -> tuple[Update, None]:
        """Add all."""
        return total(updates.values()), state


@final
@dataclass(frozen=True, slots=True)
class Gather(Merge):
    """Keep updates apart: each leaf under ``"node/name"``. For inventories, such as a data contract.

    >>> one = Update(values={"n": np.array([1.0])})
    >>> sorted(Gather().merge({"a": one, "b": one})[0].values)
    ['a/n', 'b/n']
    """

    needs: ClassVar[Literal["sum", "each"]] = "each"

    def merge(self, updates: Mapping[str, Update], state: None = None) -> tuple[Update, None]:
        """Prefix every leaf with its node's name."""
        together = Update(
            values={f"{node}/{k}": v for node, u in updates.items() for k, v in u.values.items()},
            weight=sum(u.weight for u in updates.values()),
            kinds={f"{node}/{k}": kind for node, u in updates.items() for k, kind in u.kinds.items()},
        )
        return together, state

    @staticmethod
    def split(update: Update) -> dict[str, dict[str, Any]]:
        """The leaves of a gathered update by node, then by name."""
        nodes: dict[str, dict[str, Any]] = {}
        for key, value in update.values.items():
            node, _, name = key.rpartition("/")
            nodes.setdefault(node, {})[name] = value
        return nodes


@final
@dataclass(frozen=True, slots=True)
class Median(Merge):
    """The coordinate-wise median of the nodes: half of them may lie. Source: arXiv:1803.01498.

    >>> votes = {n: Update(values={"w": np.array([v])}) for n, v in zip("abc", (1.0, 2.0, 900.0))}
    >>> Median().merge(votes)[0].values["w"].tolist()
    [2.0]
    """

    needs: ClassVar[Literal["sum", "each"]] = "each"

    def merge(self, updates: Mapping[str, Update], state: None = None) -> tuple[Update, None]:
        """The median of every number; a node that sent no such leaf has no vote in it."""
        return _stacked(updates, lambda votes: np.median(votes, axis=0)), state


@final
@dataclass(frozen=True, slots=True)
class TrimmedMean(Merge):
    """The coordinate-wise mean without the `cut` greatest and least share. Source: arXiv:1803.01498.

    Args:
        cut: share of nodes cut at each end, 0 <= cut < 0.5; rounded down to whole nodes.

    >>> votes = {n: Update(values={"w": np.array([v])}) for n, v in zip("abcd", (1.0, 2.0, 4.0, 900.0))}
    >>> TrimmedMean(0.25).merge(votes)[0].values["w"].tolist()
    [3.0]
    """

    cut: float = 0.1
    needs: ClassVar[Literal["sum", "each"]] = "each"

    def __post_init__(self) -> None:
        if not 0 <= self.cut < 0.5:
            raise PlanError(f"TrimmedMean(cut={self.cut}) would cut every node", cure="Take 0 <= cut < 0.5.")

    def merge(self, updates: Mapping[str, Update], state: None = None) -> tuple[Update, None]:
        """The mean of what is left of every number after the cut."""
        return _stacked(updates, self._mean), state

    def _mean(self, votes: np.ndarray) -> np.ndarray:
        cut = int(self.cut * len(votes))
        return np.asarray(np.sort(votes, axis=0)[cut : len(votes) - cut].mean(axis=0))


def _stacked(updates: Mapping[str, Update], rule: Callable[[np.ndarray], np.ndarray]) -> Update:
    for update in updates.values():
        for name in update.kinds:
            if update.kind(name) is not Leaf.SUM:
                raise PlanError(
                    f"leaf {name!r} merges by {update.kind(name).value}; a robust merge reads numbers"
                )
    names = dict.fromkeys(name for update in updates.values() for name in update.values)
    values = {k: rule(np.stack([u.values[k] for u in updates.values() if k in u.values])) for k in names}
    return Update(values=values, weight=sum(u.weight for u in updates.values()))

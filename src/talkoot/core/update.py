"""What a node sends: named arrays that add.

Every leaf has a kind that says how two of them merge. All kinds merge in any order; only SUM has an inverse
and may stand under a mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import reduce
from typing import Any, final

import numpy as np

from talkoot.core.errors import NotInvertible, PlanError

BUFFER = "buffer:"  # a leaf that is a statistic beside the parameters: outer steps add its mean, no more
BOUNDED = "bounded:"  # a leaf of whole numbers, at each node at most 2**62 divided by the number of nodes
MODULAR = "modular:"  # a leaf of int64 that is added modulo 2**64 on purpose
METRIC = "metric:"  # a leaf that is only to be seen: one number, in the metrics of its round
Array = Any  # numpy.ndarray or torch.Tensor; core asks only for + - * / of it


@final
class Leaf(Enum):
    """How two values of one name merge.

    >>> Leaf.MIN.merge(np.array([1.0, 5.0]), np.array([3.0, 2.0])).tolist()
    [1.0, 2.0]
    """

    SUM = "sum"
    MIN = "min"
    MAX = "max"
    UNION = "union"
    SKETCH = "sketch"  # a summary with `merge(other)`, within a stated error

    def merge(self, a: Any, b: Any) -> Any:
        """Merge two values of this kind; pure."""
        match self:
            case Leaf.SUM:
                return a + b
            case Leaf.MIN:
                return np.minimum(a, b)
            case Leaf.MAX:
                return np.maximum(a, b)
            case Leaf.UNION:
                return np.union1d(a, b)
            case Leaf.SKETCH:
                return a.merge(b)


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Update:
    """What one node, or several merged, have to say in a round.

    A name that is absent stands for its identity: ``Update()`` is the zero of every sum, and a node
    without rows sends just that.

    Args:
        values: named arrays (numpy or torch), or sketches.
        weight: how much the update counts in a mean, usually its number of rows. Weights add.
        kinds: the kind of each leaf that is not a SUM.

    >>> a = Update(values={"n": np.array([2.0]), "low": np.array([3.0])}, kinds={"low": Leaf.MIN})
    >>> b = Update(values={"n": np.array([1.0]), "low": np.array([7.0])}, kinds={"low": Leaf.MIN})
    >>> {name: value.tolist() for name, value in (a + b + Update()).values.items()}
    {'n': [3.0], 'low': [3.0]}
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    weight: float = 0.0
    kinds: Mapping[str, Leaf] = field(default_factory=dict)

    def kind(self, name: str) -> Leaf:
        """The kind of the leaf `name`."""
        return self.kinds.get(name, Leaf.SUM)

    def __add__(self, other: Update) -> Update:
        values, kinds = dict(self.values), {**self.kinds, **other.kinds}
        for name, value in other.values.items():
            if name not in values:
                values[name] = value
            elif name not in kinds:
                values[name] = values[name] + value
            else:
                values[name] = self._kind_with(other, name).merge(values[name], value)
        return Update(values=values, weight=self.weight + other.weight, kinds=kinds)

    def _kind_with(self, other: Update, name: str) -> Leaf:
        """The kind of a leaf that both have."""
        mine, theirs = self.kind(name), other.kind(name)
        if mine is not theirs:
            raise PlanError(
                f"leaf {name!r} merges by {mine.value} in one update and by {theirs.value} in another",
                cure="Give it one kind at every node and in every round.",
            )
        return mine

    def __sub__(self, other: Update) -> Update:
        """Take `other` out of a merge that holds it (law 5)."""
        fixed = sorted(name for name in other.values if other.kind(name) is not Leaf.SUM)
        if fixed:
            raise NotInvertible(
                f"{', '.join(fixed)} merge by {other.kind(fixed[0]).value}, which cannot be taken back",
                cure="Refit without the node.",
            )
        values = dict(self.values)
        for name, value in other.values.items():
            values[name] = values[name] - value if name in values else -value
        return Update(values=values, weight=self.weight - other.weight, kinds=self.kinds)

    def scaled(self, factor: float) -> Update:
        """Every SUM leaf times `factor`; the weight stays."""
        values = {
            name: value * factor if self.kind(name) is Leaf.SUM else value
            for name, value in self.values.items()
        }
        return Update(values=values, weight=self.weight, kinds=self.kinds)


def total(updates: Iterable[Update]) -> Update:
    """The sum of updates; ``Update()`` when there are none."""
    return reduce(Update.__add__, updates, Update())

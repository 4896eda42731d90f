"""Sums within each class, about one center, or one for each class where that is not precise enough."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
import scipy.sparse as sp

from talkoot.core.context import Ctx
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Update, total
from talkoot.learners.common.columnwise import require_numbers
from talkoot.learners.common.estimator import better_center
from talkoot.learners.common.rows import checked_blocks, require_classes, require_dense, require_rows
from talkoot.learners.common.state import State, SumLearner


@final
@dataclass(frozen=True, slots=True, eq=False)
class ClassMoments:
    """Moments of each class that has rows."""

    weight: np.ndarray  # (classes,) sums of weights, by default 1 for a row
    center: np.ndarray  # (1 or classes, features) center of the sums
    offset: np.ndarray  # (classes, features) weighted mean - center; 0 for a class of weight 0
    squares: np.ndarray  # (classes, features) weighted sum of (x - mean)^2

    @staticmethod
    def of(n: np.ndarray, s: np.ndarray, ss: np.ndarray, center: np.ndarray) -> ClassMoments:
        """From sums about a center."""
        offset = np.divide(s, n[:, None], out=np.zeros_like(s), where=n[:, None] > 0)
        return ClassMoments(n, center, offset, np.maximum(ss - offset * s, 0.0))

    @property
    def mean(self) -> np.ndarray:
        """(classes, features) weighted mean; 0 for a class of weight 0."""
        return np.where(self.weight[:, None] > 0, self.center + self.offset, 0.0)

    @property
    def shifted(self) -> np.ndarray:
        """(classes, features) means minus the first center, so that differences are precise."""
        return np.asarray(self.center - self.center[0] + self.offset)

    @property
    def variance(self) -> np.ndarray:
        """(features,) variance of all rows, within and between classes."""
        away = self.shifted - self.weight @ self.shifted / self.weight.sum()
        return np.asarray((self.squares.sum(axis=0) + self.weight @ away**2) / self.weight.sum())


class ClassLearner(SumLearner):
    """A classifier from sums within each class: one round, or two where the first center is not precise."""

    estimator: Any
    closed: ClassVar[bool] = True

    def init(self, schema: Schema, rng: np.random.Generator) -> State:
        """Sum about the center that the nodes agreed on."""
        require_numbers(schema, self.estimator)
        require_dense(schema, self.estimator)
        require_classes(schema, self.estimator)
        return State(schema=schema, shared=schema.center[None])

    def work(self, centers: np.ndarray, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Sums within each class."""
        classes = len(require_classes(ctx.schema, self.estimator))
        blocks = checked_blocks(shard, ctx.schema, self.estimator)
        return total(self._sums(block, centers, classes) for block in blocks), local

    def _sums(self, block: Block, centers: np.ndarray, classes: int) -> Update:
        y = np.asarray(block.y)
        D = block.X - (centers[y] if len(centers) > 1 else centers)
        plain = indicator(y, classes)
        views = [plain] if block.w is None else [plain @ sp.diags_array(block.w), plain]
        rows = plain.sum(axis=1)
        values = {
            "rows": rows,
            "n": np.stack([view.sum(axis=1) for view in views]),
            "s": np.stack([view @ D for view in views]),
            "ss": np.stack([view @ (D * D) for view in views]),
        }
        return Update(values={**values, **self.further_sums(D, y, rows)}, weight=float(len(block)))

    def further_sums(self, D: np.ndarray, y: np.ndarray, rows: np.ndarray) -> Mapping[str, np.ndarray]:
        """Further leaves of a block; none by default.

        Args:
            D: (rows, features) x - center.
            y: (rows,) class indices.
            rows: (classes,) number of rows.
        """
        return {}

    def step(self, model: State, update: Update) -> State:
        """The result without classes that have no rows, or better centers for one more round."""
        require_rows(update, self.estimator)
        centers = next_centers(update, model.shared)
        if centers is not None:
            return replace(model, shared=centers)
        return replace(model, result=self.solve(model, update))

    @abstractmethod
    def solve(self, model: State, update: Update) -> Any:
        """The fitted estimator."""


def indicator(y: np.ndarray, classes: int) -> Any:
    """(classes, rows) CSR: a one where the row is of the class.

    >>> indicator(np.array([1, 0, 1]), 2).toarray().tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    """
    return sp.csr_array((np.ones(len(y)), (y, np.arange(len(y)))), shape=(classes, len(y)))


def present(update: Update) -> np.ndarray:
    """Indices of the classes that have rows."""
    return np.flatnonzero(update.values["rows"] > 0)


def within(update: Update, centers: np.ndarray, *, weighted: bool = True) -> ClassMoments:
    """Moments of the classes that have rows, with their weights or without."""
    here = present(update)
    n, s, ss = (update.values[name][0 if weighted else -1][here] for name in ("n", "s", "ss"))
    return ClassMoments.of(n, s, ss, centers[here] if len(centers) > 1 else centers)


def next_centers(update: Update, centers: np.ndarray) -> np.ndarray | None:
    """A center for each class, if the old one is not precise enough for some class that has rows."""
    n, s, ss = (update.values[name][-1] for name in ("n", "s", "ss"))
    old = np.broadcast_to(centers, s.shape)
    new = [better_center(*sums) for sums in zip(n, s, ss, old, strict=True)]
    if all(center is None for center in new):
        return None
    return np.stack([was if now is None else now for was, now in zip(old, new, strict=True)])

"""Second moments of rows, summed about one center for all nodes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
import scipy.sparse as sp

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.common.columnwise import require_numbers
from talkoot.learners.common.estimator import FAR, better_center
from talkoot.learners.common.rows import checked_blocks, no_target, require_rows
from talkoot.learners.common.state import State, SumLearner

WIDEST = 16_384  # columns whose products are a matrix of 2 GiB
SLAB = 1 << 22  # entries of a sparse product that are made dense at a time


@final
@dataclass(frozen=True, slots=True, eq=False)
class ProductMoments:
    """First and second moments of d = features + outputs columns."""

    rows: int  # number of rows
    weight: float  # sum of their weights
    mean: np.ndarray  # (d,) weighted mean
    scatter: np.ndarray  # (d, d) weighted sum of (z - mean)(z - mean)'


class GramLearner(SumLearner):
    """An estimator from mean and X'X: one round, or two where the first center is not precise.

    Class attributes:
        targets: sum the target's columns too.
    """

    estimator: Any
    closed: ClassVar[bool] = True
    targets: ClassVar[bool] = False

    def init(self, schema: Schema, rng: np.random.Generator) -> State:
        """Start at the agreed center."""
        return State(schema=schema, shared=start(schema, self.estimator, self.targets))

    def work(self, center: np.ndarray, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Products of all columns and a column of ones."""
        return gram(shard, ctx.schema, center, self.estimator), local

    def step(self, model: State, update: Update) -> State:
        """The result, or a better center for one more round."""
        found = moments(update, model.shared, self.estimator)
        center = next_center(update, model.shared, sparse=model.schema.sparse)
        if center is not None:
            return replace(model, shared=center)
        return replace(model, result=self.solve(found, model.schema))

    @abstractmethod
    def solve(self, found: ProductMoments, schema: Schema) -> Any:
        """The fitted estimator."""


def start(schema: Schema, estimator: Any, targets: bool) -> np.ndarray:
    """The first center, (features + outputs,).

    Raises:
        DataError: text, no target, or too many columns.
    """
    require_numbers(schema, estimator)
    if schema.features > WIDEST:
        name, gib = type(estimator).__name__, 8 * schema.features**2 / 2**30
        raise DataError(
            f"{name} sums the products of {schema.features} columns: {gib:.0f} GiB at every node",
            cure=f"Keep at most {WIDEST} columns, with VarianceThreshold() or fewer hashed features, say.",
        )
    if not targets:
        return schema.center
    if schema.target_center is None:
        raise no_target(estimator)
    return np.concatenate([schema.center, schema.target_center])


def gram(shard: Shard, schema: Schema, center: np.ndarray, estimator: Any) -> Update:
    """The products Z'Z of z = (x - center, y - center, 1), each row times its weight.

    Returns:
        "gram": (d + 1, d + 1) float64 where the center has d entries; "rows": (1,).
    """
    products, rows = np.zeros((len(center) + 1,) * 2), 0
    for block in checked_blocks(shard, schema, estimator):
        (_add_sparse if sp.issparse(block.X) else _add_dense)(products, block, center)
        rows += len(block)
    if not rows:
        return Update()
    return Update(values={"gram": products, "rows": np.array([float(rows)])}, weight=float(rows))


def _add_dense(products: np.ndarray, block: Block, center: np.ndarray) -> None:
    p = block.X.shape[1]
    Z = np.empty((len(block), len(center) + 1))
    np.subtract(block.X, center[:p], out=Z[:, :p])
    Z[:, p:] = _targets_and_ones(block, center[p:])
    if block.w is not None:
        Z *= np.sqrt(block.w)[:, None]
    products += Z.T @ Z


def _add_sparse(products: np.ndarray, block: Block, center: np.ndarray) -> None:
    p = block.X.shape[1]
    X, Y = shifted(block.X, center[:p]), _targets_and_ones(block, center[p:])
    if block.w is not None:
        root = np.sqrt(block.w)
        X, Y = sp.diags_array(root) @ X, Y * root[:, None]
    turned = sp.csr_array(X.T)
    step = max(1, SLAB // p)
    for at in range(0, p, step):  # the product of two sparse matrices is nearly dense
        products[at : min(at + step, p), :p] += (turned[at : at + step] @ X).toarray()
    XY = turned @ Y
    products[:p, p:] += XY
    products[p:, :p] += XY.T
    products[p:, p:] += Y.T @ Y


def _targets_and_ones(block: Block, center: np.ndarray) -> np.ndarray:
    Y = np.ones((len(block), len(center) + 1))
    if len(center) and block.y is not None:
        Y[:, :-1] = block.y.reshape(len(block), -1) - center
    return Y


def shifted(X: Any, center: np.ndarray) -> Any:
    """X - center as CSR in float64, where the center is zero for all but a few nearly full columns.

    >>> shifted(sp.csr_array([[5.0, 0.0], [6.0, 2.0]]), np.array([5.0, 0.0])).toarray().tolist()
    [[0.0, 0.0], [1.0, 2.0]]
    """
    X = sp.csr_array(X, dtype=np.float64)
    moved = np.flatnonzero(center)
    if not len(moved):
        return X
    columns = sp.csr_array((np.ones(len(moved)), (np.arange(len(moved)), moved)), (len(moved), len(center)))
    full = sp.csr_array(X[:, moved].toarray() - center[moved])
    return sp.csr_array(X @ sp.diags_array((center == 0).astype(np.float64)) + full @ columns)


def moments(update: Update, center: np.ndarray, estimator: Any) -> ProductMoments:
    """Means and centred products from summed products.

    Raises:
        DataError: no node has rows, or all weights are 0.
    """
    require_rows(update, estimator)
    products = update.values["gram"]
    weight, sums = float(products[-1, -1]), products[-1, :-1]
    if not weight > 0:
        raise DataError("all sample weights are 0", cure="Give some rows a weight above 0.")
    offset = sums / weight
    scatter = products[:-1, :-1] - np.outer(sums, offset)
    return ProductMoments(round(float(update.values["rows"][0])), weight, center + offset, scatter)


def next_center(update: Update, center: np.ndarray, *, sparse: bool) -> np.ndarray | None:
    """A better center, if the old one is not precise enough; for sparse rows only in columns that need it."""
    products = update.values["gram"]
    weight, sums, squares = products[-1, -1], products[-1, :-1], np.diagonal(products)[:-1]
    better = better_center(weight, sums, squares, center)
    if better is None or not sparse:
        return better
    offset = sums / weight
    spread = np.sqrt(np.maximum(squares / weight - offset**2, 0.0))
    return np.where(np.abs(offset) > FAR * spread, better, center)

"""One pass over a node's rows: the sums of loss, gradient and curvature of a linear model at a point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import scipy.sparse as sp

from talkoot.core.shard import Block, Shard
from talkoot.core.update import Update
from talkoot.learners.solvers.coalesce import coalesce
from talkoot.learners.solvers.losses import Loss, Workspace
from talkoot.learners.solvers.objective import Layout

BATCH = 4 << 20  # bytes of features in a block: enough that threads do not wait for each other
DENSE = 512  # widest model whose curvature is sampled as a matrix, else as a diagonal


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """What is the same in all rounds; nodes know it from the schema."""

    loss: Loss  # the loss of a row
    layout: Layout  # the order of parameters
    center: np.ndarray | None  # (features,) what is subtracted from rows; None for nothing
    stride: int = 1  # a sample is every `stride`-th row


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Point:
    """What nodes evaluate in a round, and how."""

    vector: np.ndarray  # (n,) the parameters; intercepts are those of rows minus the center
    dtype: np.dtype[Any]  # of products of rows. Sums over blocks are float64
    # "target_stats": sums of the target; "start": the first evaluation; "solve": later ones
    stage: Literal["target_stats", "start", "solve"] = "solve"
    # subtract the center from each row; else from the products, faster and less precise
    subtract: bool = True
    # "full": sum the Hessian; "sample": sum it over some rows, averaged over outputs
    curve: Literal["none", "sample", "full"] = "none"
    class_weight: np.ndarray | None = None  # (classes,) weight of each class; None for 1


def evaluate(shard: Shard, frame: Frame, point: Point) -> Update:
    """The sums at a point: "weight", "loss", "gradient" (n,), and those of `point.curve`.

    "full": "hessian" (n, n). "sample": "sampled", its weight, "curve", the curvature of one output, (width,
    width) or its diagonal, and "extras", the diagonal of further parameters. Nothing without rows.
    """
    sums: dict[str, np.ndarray] = {}
    rows, workspace = 0, Workspace()
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for block, X in _blocks(shard, frame, point, workspace):
            rows += len(block)
            for name, value in _block(block, X, frame, point, workspace).items():
                if name in sums:
                    sums[name] += value
                else:
                    sums[name] = np.array(value, dtype=np.float64)
    return Update(values=_gradient(sums, frame, point), weight=float(rows)) if rows else Update()


def _blocks(shard: Shard, frame: Frame, point: Point, workspace: Workspace) -> Iterator[tuple[Block, Any]]:
    """Blocks that hold rows, and their features, centred if `point` says so, in its dtype."""
    center = None if frame.center is None or not point.subtract else frame.center.astype(point.dtype)
    size = 0 if point.curve == "full" else BATCH  # a block's Hessian takes long enough
    for block in coalesce(shard.blocks(), size):
        X = block.X
        if not isinstance(X, np.ndarray) or (center is None and X.dtype == point.dtype):
            yield block, X.astype(point.dtype, copy=False)
            continue
        moved = workspace.take("rows", X.shape, point.dtype)
        yield block, np.subtract(X, 0 if center is None else center, out=moved)


def _block(block: Block, X: Any, frame: Frame, point: Point, workspace: Workspace) -> dict[str, Any]:
    """The sums of one block; `_gradient` combines "products" and "slopes"."""
    assert block.y is not None
    y = block.y.reshape(-1)
    raw = _raw(X, frame, point, workspace)
    w = _weights(block, frame.loss, point)
    curve = {} if point.curve == "none" else _CURVES[point.curve](X, raw, y, w, frame)
    value, slope = frame.loss.evaluate(raw, y, workspace)
    if w is not None:
        slope *= w
    return {
        "weight": [float(len(block)) if w is None else w.sum(dtype=np.float64)],
        "loss": [value.sum() if w is None else (value * w).sum()],
        "slopes": slope.sum(axis=1),
        "products": _products(slope[: frame.layout.outputs], X),
        **curve,
    }


def _raw(X: Any, frame: Frame, point: Point, workspace: Workspace) -> np.ndarray:
    """(outputs + extras, rows) raw predictions."""
    layout = frame.layout
    coef, intercepts, extras = layout.split(point.vector)
    if frame.center is not None and not point.subtract:
        intercepts = intercepts - coef @ frame.center
    raw = workspace.take("raw", (layout.outputs + layout.extras, X.shape[0]), point.dtype)
    coef = coef.astype(point.dtype)
    if not coef.any():  # the usual initial point
        raw[: layout.outputs] = 0
    elif isinstance(X, np.ndarray):
        np.dot(coef, X.T, out=raw[: layout.outputs])
    else:
        raw[: layout.outputs] = (X @ coef.T).T
    raw[: layout.outputs] += intercepts.astype(point.dtype)[:, None]
    raw[layout.outputs :] = extras[:, None]
    return raw


def _products(slope: np.ndarray, X: Any) -> np.ndarray:
    """(outputs, features) slopes times rows. np.dot, because matmul does not release the GIL here."""
    return np.dot(slope, X) if isinstance(X, np.ndarray) else np.asarray((X.T @ slope.T).T)


def _weights(block: Block, loss: Loss, point: Point) -> np.ndarray | None:
    """The weight of each row, (1, rows), or (outputs, rows) where outputs differ; None where all are 1."""
    w = block.w
    if point.class_weight is not None and block.y is not None:
        own = loss.weights(point.class_weight, block.y)
        w = own if w is None else w * own
    return None if w is None else np.atleast_2d(w).astype(point.dtype, copy=False)


def _gradient(sums: dict[str, np.ndarray], frame: Frame, point: Point) -> dict[str, np.ndarray]:
    """The sums with the gradient, about the center also where it was not subtracted."""
    layout = frame.layout
    slopes, products = sums.pop("slopes"), sums.pop("products")
    outputs, extras = slopes[: layout.outputs], slopes[layout.outputs :]
    if frame.center is not None and not point.subtract:
        products -= np.outer(outputs, frame.center)
    return {**sums, "gradient": layout.join(products, outputs, extras)}


def _full_curve(X: Any, raw: np.ndarray, y: np.ndarray, w: np.ndarray | None, frame: Frame) -> dict[str, Any]:
    """The Hessian, all pairs of outputs."""
    layout, Z = frame.layout, _design(X, frame.layout)
    hessian = np.zeros((layout.outputs, layout.width, layout.outputs, layout.width))
    for a, b, h in frame.loss.curvature(raw, y):
        part = _sandwich(Z, h if w is None else h * w[a % len(w)])
        hessian[a, :, b] = part
        hessian[b, :, a] = part
    return {"hessian": hessian.reshape(layout.size, layout.size)}


def _sample_curve(
    X: Any, raw: np.ndarray, y: np.ndarray, w: np.ndarray | None, frame: Frame
) -> dict[str, Any]:
    """The curvature over every `stride`-th row, in float64, averaged over outputs."""
    layout, pick = frame.layout, slice(None, None, frame.stride)
    Z = _design(X[pick].astype(np.float64), layout)
    weight = np.ones((1, Z.shape[0])) if w is None else w[:, pick].astype(np.float64)
    curvature = frame.loss.curvature(raw[:, pick].astype(np.float64), y[pick])
    own = [h * weight[a % len(weight)] for a, b, h in curvature if a == b]
    h = np.sum(own[: layout.outputs], axis=0) / layout.outputs
    if layout.width <= DENSE:
        curve = _sandwich(Z, h)
    else:
        curve = np.asarray((Z * Z if isinstance(Z, np.ndarray) else Z.multiply(Z)).T @ h)
    extras = np.array([part.sum() for part in own[layout.outputs :]])
    return {"sampled": [weight.sum()], "curve": curve, "extras": extras}


_CURVES = {"full": _full_curve, "sample": _sample_curve}


def _design(X: Any, layout: Layout) -> Any:
    """The features with a column of ones where there is an intercept."""
    if not layout.intercept:
        return X
    ones = np.ones((X.shape[0], 1), X.dtype)
    return (
        np.hstack([X, ones])
        if isinstance(X, np.ndarray)
        else sp.hstack([X, sp.csr_array(ones)], format="csr")
    )


def _sandwich(Z: Any, h: np.ndarray) -> np.ndarray:
    """Z' diag(h) Z for h of one sign: half the work of a product of two matrices."""
    root = np.sqrt(np.abs(h))[:, None]
    sign = 1.0 if h.sum() >= 0 else -1.0
    if isinstance(Z, np.ndarray):
        scaled = Z * root
        return sign * np.asarray(scaled.T @ scaled)
    scaled = Z.multiply(root).tocsr()
    return sign * np.asarray((scaled.T @ scaled).toarray())

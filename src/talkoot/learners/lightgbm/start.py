"""What LightGBM predicts before the first tree: of all rows, where processes alone know only their own."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

EPSILON = float(np.float32(1e-15))  # LightGBM's least probability, and the least start that counts
ZERO = float(np.float32(1e-35))  # what LightGBM takes for 0
MEANS = ("regression", "huber", "fair")
LOGARITHMS = ("poisson", "gamma", "tweedie")
CLASSES = ("binary", "multiclass", "multiclassova")


def target_sums(y: np.ndarray, w: np.ndarray | None, classes: int | None, *, roots: bool) -> np.ndarray:
    """The sums of which `start_of` makes the start, in the precision that LightGBM has of labels and weights.

    Args:
        y: (rows,) targets, or numbers of classes.
        w: (rows,) weights; None for 1.
        classes: how many; None for targets that are numbers.
        roots: whether LightGBM learns square roots of them.

    Returns:
        (classes,) weights of classes, or the weighted sum of targets and the sum of weights.
    """
    weights = np.ones(len(y)) if w is None else w.astype(np.float32).astype(np.float64)
    if classes is not None:
        return np.bincount(y, weights, minlength=classes)
    labels = y.astype(np.float32)
    if roots:
        labels = np.sign(labels) * np.sqrt(np.abs(labels))
    return np.array([labels.astype(np.float64) @ weights, weights.sum()])


def start_of(objective: str, sums: np.ndarray, sigmoid: float) -> np.ndarray:
    """(outputs,) the scores before the first tree; 0 where LightGBM begins with none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if objective in (*MEANS, *LOGARITHMS):
            mean = sums[:1] / sums[1]
            found = np.log(mean) if objective in LOGARITHMS else mean
        elif objective == "multiclass":
            found = np.log(np.maximum(sums / sums.sum(), EPSILON))
        else:
            parts = np.clip(sums / sums.sum(), EPSILON, 1 - EPSILON)
            found = np.log(parts / (1 - parts))[1 if objective == "binary" else 0 :] / sigmoid
    return np.where(np.abs(found) > EPSILON, found, 0.0)


def of_one_process(text: str, start: np.ndarray, rows: int, pool: str) -> str:
    """A model of several processes as one process saves it: the first trees have the start in their leaves.

    Args:
        text: LightGBM's.
        start: (outputs,) the scores before the first tree.
        rows: of all processes.
        pool: LightGBM's histogram_pool_size.
    """
    head, found, rest = text.partition("tree_sizes=")
    sizes, _, rest = rest.partition("\n")
    blank = len(rest) - len(rest.lstrip("\n"))
    trees, at = list[str](), blank
    for size in map(int, sizes.split()):
        trees.append(rest[at : at + size])
        at += size
    trees = [_counted(tree, rows) for tree in trees]
    for i, value in enumerate(start[: len(trees)].tolist()):
        trees[i] = _lifted(trees[i], value)
    lengths, end = " ".join(str(len(tree)) for tree in trees), rest[at:]
    for name, value in (("tree_learner", "serial"), ("num_machines", "1"), ("histogram_pool_size", pool)):
        end = re.sub(rf"\n\[{name}: [^\n]*\]\n", f"\n[{name}: {value}]\n", end)
    return f"{head}{found}{lengths}\n{rest[:blank]}{''.join(trees)}{end}"


def _counted(tree: str, rows: int) -> str:
    """A tree whose only leaf, if it has no other, has the rows of all processes."""
    return re.sub(r"\nleaf_count=\d+\n", f"\nleaf_count={rows}\n", tree)


def _lifted(tree: str, start: float) -> str:
    """A tree with the start added to what it predicts."""
    lines = tree.split("\n") if start else []
    for i, line in enumerate(lines):
        name, _, values = line.partition("=")
        if name == "leaf_value":
            lines[i] = f"{name}={_sums(values.split(), start, '.17g')}"
        elif name == "internal_value" and values:
            lines[i] = f"{name}={_sums(values.split(), start, 'g')}"
        elif name == "shrinkage":
            lines[i] = f"{name}=1"
    return "\n".join(lines) or tree


def _sums(values: Sequence[str], start: float, form: str) -> str:
    sums = (float(value) + start for value in values)
    return " ".join(format(0.0 if abs(value) <= ZERO else value, form) for value in sums)

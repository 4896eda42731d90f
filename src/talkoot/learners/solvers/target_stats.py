"""What an iterative fit needs of its target: classes and their weights, mean and standard deviation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema
from talkoot.core.update import Update
from talkoot.learners.common.rows import no_target, require_classes
from talkoot.learners.solvers.fitting import Fitting, Problem
from talkoot.learners.solvers.lbfgs import Lbfgs


def two_classes(schema: Schema, estimator: Any) -> np.ndarray:
    """The classes, at least two."""
    classes = require_classes(schema, estimator)
    if len(classes) < 2:
        raise DataError(
            f"{type(estimator).__name__} needs samples of at least 2 classes, but the data contain only one "
            f"class: {classes.tolist()[0]!r}",
            column=schema.target,
            cure="Look at the target, or bring in a node that has another class.",
        )
    return classes


def target_mean(schema: Schema, estimator: Any) -> float:
    """About the mean of the target, which must be one column."""
    if schema.target_center is None:
        raise no_target(estimator)
    if schema.outputs > 1:
        cause = f"{type(estimator).__name__} fits one target, and there are {schema.outputs}"
        raise DataError(cause, column=schema.target, cure="Fit one estimator for each.")
    return float(schema.target_center[0])


def class_weights(estimator: Any, schema: Schema) -> np.ndarray | None:
    """(classes,) the weights that the estimator lists; None for 1, or for "balanced".

    Raises:
        DataError: a weight for a class that does not exist.
    """
    if estimator.class_weight is None or estimator.class_weight == "balanced":
        return None
    classes = schema.classes
    try:
        return np.asarray(compute_class_weight(estimator.class_weight, classes=classes, y=classes))
    except ValueError as error:
        cure = "Name classes as they are in the target."
        raise DataError(f"class_weight does not fit: {error}", column=schema.target, cure=cure) from error


def counts(block: Block, schema: Schema) -> Update:
    """The weight of each class."""
    assert block.y is not None
    assert schema.classes is not None
    classes = np.bincount(block.y, block.w, minlength=len(schema.classes)).astype(np.float64)
    return Update(values={"weight": classes}, weight=float(len(block)))


def spread(block: Block, schema: Schema) -> Update:
    """The total weight, and sums of the target and its square about its center."""
    assert block.y is not None
    y = block.y.reshape(-1) - (0 if schema.target_center is None else schema.target_center[0])
    w = np.ones(len(y)) if block.w is None else block.w
    values = {"weight": np.array([w.sum()]), "moments": np.array([w @ y, w @ (y * y)])}
    return Update(values=values, weight=float(len(block)))


def with_target_stats(model: Fitting, problem: Problem, update: Update) -> Fitting:
    """The state with balanced class weights, or an initial point at the target's mean and scale."""
    point, weight = model.point, update.values["weight"]
    if problem.target_stats == "classes":
        balanced = weight.sum() / (len(weight) * np.where(weight > 0, weight, np.inf))
        return replace(model, point=replace(point, class_weight=balanced, stage="start"))
    first, second = update.values["moments"] / weight
    deviation = np.sqrt(max(second - first**2, 0.0)) or 1.0
    coef, intercepts, extras = problem.layout.split(problem.start)
    start = problem.layout.join(coef, intercepts + first, extras + np.log(deviation))
    solver = Lbfgs(point=start, stop=model.solver.stop)
    return replace(model, point=replace(point, vector=start, stage="start"), solver=solver)

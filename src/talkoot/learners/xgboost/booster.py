"""XGBoost's model as it is saved: made of trees that were grown of merged histograms, and read back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier

from talkoot.core.errors import DataError
from talkoot.core.shard import Schema
from talkoot.learners.common.columnwise import require_numbers
from talkoot.learners.common.queries import ranks
from talkoot.learners.common.rows import require_dense
from talkoot.learners.solvers.target_stats import target_mean, two_classes
from talkoot.learners.trees.boosting.record import Record
from talkoot.learners.xgboost import node
from talkoot.learners.xgboost.accepted import require_plain
from talkoot.learners.xgboost.collective import cause

NO_PARENT = 2**31 - 1


def dry_fit(estimator: Any, schema: Schema) -> Any:
    """The booster of one tree of invented rows, so that XGBoost refuses parameters before any row is read.

    Raises:
        DataError: it does.
    """
    import xgboost

    ranked = ranks(estimator)
    y = np.array([0.0 if ranked else 0.5, 1.0]) if schema.classes is None else np.arange(len(schema.classes))
    queries = {"group": [2]} if ranked else {}
    try:
        X = np.zeros((len(y), schema.features))
        rows = xgboost.DMatrix(X, y, feature_names=schema.names, nthread=1, **queries)
        return xgboost.train(node.params(estimator, schema) | {"nthread": 1}, rows, 1)
    except (TypeError, ValueError) as error:
        raise DataError(f"{type(estimator).__name__} refuses: {cause(error)}") from error


def require_fit(estimator: Any, schema: Schema) -> None:
    """Refuse columns, targets and parameters that XGBoost would refuse, or that are not there yet.

    Raises:
        DataError: for the first reason found.
    """
    require_plain(schema, estimator)
    require_numbers(schema, estimator)
    require_dense(schema, estimator)
    if is_classifier(estimator):
        two_classes(schema, estimator)
    else:
        target_mean(schema, estimator)
    dry_fit(estimator, schema)


def fitted(estimator: Any, booster: bytes | bytearray) -> Any:
    """The estimator as its own fit leaves it, with the trees of a saved model."""
    made = clone(estimator)
    made.load_model(bytearray(booster))
    for name, value in estimator.get_params(deep=False).items():
        if name != "objective":  # which XGBoost's fit replaces too
            setattr(made, name, value)
    return made


def model_of(
    estimator: Any, schema: Schema, records: Sequence[Sequence[Record]], scores: np.ndarray
) -> bytes:
    """A model of XGBoost's in its JSON format.

    Source: https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html

    Args:
        estimator: whose parameters it has.
        schema: of the columns.
        records: for each iteration a tree for each output.
        scores: (outputs,) float32, the base scores.
    """
    made = json.loads(bytes(dry_fit(estimator, schema).save_raw("json")))
    learner = made["learner"]
    learner["learner_model_param"]["base_score"] = (
        f"[{','.join(f'{score:.9g}' for score in scores.tolist())}]"
    )
    by_loss = estimator.grow_policy in ("lossguide", 1)
    trees, model = [record for found in records for record in found], learner["gradient_booster"]["model"]
    model["trees"] = [_tree(i, record, schema.features, by_loss=by_loss) for i, record in enumerate(trees)]
    model["tree_info"] = [k for found in records for k in range(len(found))]
    model["iteration_indptr"] = np.cumsum([0, *map(len, records)]).tolist()
    model["gbtree_model_param"]["num_trees"] = str(len(trees))
    return json.dumps(made).encode()


def _tree(index: int, record: Record, features: int, *, by_loss: bool) -> dict[str, Any]:
    """A tree, its nodes numbered in the order in which XGBoost makes them."""
    order = np.fromiter(_places(record.nodes, by_loss=by_loss), dtype=np.intp, count=len(record.nodes))
    nodes, number = record.nodes[order], np.argsort(order)
    leaf = nodes["is_leaf"] != 0
    left, right = (
        np.where(leaf, -1, number[nodes[side].astype(np.intp) % len(nodes)]) for side in ("left", "right")
    )
    parents = np.full(len(nodes), NO_PARENT)
    for children in (left, right):
        parents[children[~leaf]] = np.flatnonzero(~leaf)
    values = nodes["value"].astype(np.float32)
    conditions = np.where(leaf, values, below(nodes["num_threshold"]))
    none = np.zeros(len(nodes), dtype=np.int64)
    numbers = {
        "base_weights": values,
        "default_left": np.where(leaf, 0, nodes["missing_go_to_left"]),
        "left_children": left,
        "right_children": right,
        "loss_changes": np.where(leaf, 0, nodes["gain"]).astype(np.float32),
        "parents": parents,
        "split_conditions": conditions.astype(np.float32),
        "split_indices": np.where(leaf, 0, nodes["feature_idx"]),
        "split_type": none,
        "sum_hessian": record.hessians[order].astype(np.float32),
    }
    categories = ("categories", "categories_nodes", "categories_segments", "categories_sizes")
    size = {
        "num_deleted": "0",
        "num_feature": str(features),
        "num_nodes": str(len(nodes)),
        "size_leaf_vector": "1",
    }
    lists = {name: values.tolist() for name, values in numbers.items()}
    return {**lists, **dict.fromkeys(categories, ()), "id": index, "tree_param": size}


def _places(nodes: np.ndarray, *, by_loss: bool) -> Iterator[int]:
    """The places of nodes: those of a level behind the ones above, or children of the greatest gain first."""
    heap, made = [(0.0, 0, 0)], 1
    yield 0
    while heap:
        at = heappop(heap)[-1]
        if nodes[at]["is_leaf"]:
            continue
        for child in (int(nodes[at]["left"]), int(nodes[at]["right"])):
            first = -float(nodes[child]["gain"]) if by_loss else float(nodes[child]["depth"])
            heappush(heap, (first, made, child))
            made += 1
            yield child


def below(thresholds: np.ndarray) -> np.ndarray:
    """(nodes,) float32: a number of single precision is below them where it is at most the thresholds.

    >>> below(np.array([0.5, 1e300])).tolist()
    [0.5000000596046448, inf]
    """
    with np.errstate(over="ignore"):
        found = thresholds.astype(np.float32)
        down = np.where(found > thresholds, np.nextafter(found, np.float32(-np.inf)), found)
        return np.nextafter(down, np.float32(np.inf))

"""Tables whose trees have no equal splits, and trees over nodes beside scikit-learn's."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier

import talkoot as tk

RNG = np.random.default_rng(0)
X = np.round(RNG.normal(size=(300, 4)), 1)
Y = 2 * X[:, 0] + np.sin(3 * X[:, 1]) + RNG.normal(size=300) * 0.3
W = RNG.integers(0, 2000, 300) / 1024 * (RNG.random(300) > 0.2)  # whose sums are exact
KINDS = np.array(["high", "low", "mid"])[RNG.integers(0, 3, 300)]
COUNTS = np.round(np.exp(Y / 3))
NODES = ["left_child", "right_child", "feature", "threshold", "n_node_samples"]


def dealt(nodes: int, *columns: Any) -> dict[str, Any]:
    """Rows dealt over nodes in turn, and one node more without any; None is no column."""
    given = [each for each in columns if each is not None]
    deal = [np.arange(len(given[0]))[node::nodes] for node in range(nodes)] + [np.arange(0)]
    return {f"n{i}": tuple(each[part] for each in given) for i, part in enumerate(deal)}


def together(estimator: Any, data: Any, on: Any = None, chain: Any = ()) -> Any:
    """The model of nodes; columns with more values than bins are not the point here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "DecisionTree.* divides columns")
        return tk.fit(clone(estimator), data, on=on or tk.Inline(), chain=list(chain)).model


def pooled(estimator: Any, X: Any, y: Any, w: Any = None) -> Any:
    """The model of all rows in one place."""
    return clone(estimator).set_params(random_state=0).fit(X, y, sample_weight=w)


def bits(model: Any) -> tuple[bytes, bytes]:
    """A tree's nodes and values to the last bit."""
    state = model.tree_.__getstate__()
    return state["nodes"].tobytes(), state["values"].tobytes()


def assert_same_tree(got: Any, want: Any, rows: Any) -> None:
    """The same nodes and thresholds; all else but for the order in which scikit-learn adds floats."""
    assert type(got) is type(want)
    one, other = got.tree_.__getstate__(), want.tree_.__getstate__()
    assert len(one["nodes"]) == len(other["nodes"])
    for name in NODES:
        np.testing.assert_array_equal(one["nodes"][name], other["nodes"][name], err_msg=name)
    size = float(np.abs(other["nodes"]["impurity"]).max())
    np.testing.assert_allclose(one["nodes"]["impurity"], other["nodes"]["impurity"], atol=1e-9 * size)
    names = "weighted_n_node_samples"
    np.testing.assert_allclose(one["nodes"][names], other["nodes"][names], rtol=1e-9)
    np.testing.assert_allclose(one["values"], other["values"], rtol=1e-9, atol=1e-12)
    inner = other["nodes"]["left_child"] >= 0
    ways = one["nodes"]["missing_go_to_left"], other["nodes"]["missing_go_to_left"]
    np.testing.assert_array_equal(ways[0][inner], ways[1][inner])
    assert one["max_depth"] == other["max_depth"]
    np.testing.assert_array_equal(got.apply(rows), want.apply(rows))
    if is_classifier(got):
        np.testing.assert_array_equal(got.predict(rows), want.predict(rows))
        np.testing.assert_array_equal(got.classes_, want.classes_)
        assert got.n_classes_ == want.n_classes_


def assert_best_splits(model: Any, estimator: Any, rows: Any, y: Any, w: Any = None) -> None:
    """Every node is divided as well as scikit-learn divides its rows, and is a leaf where it is one there."""
    tree, path = model.tree_, model.decision_path(rows).toarray().astype(bool)
    stump = clone(estimator).set_params(max_depth=1, max_leaf_nodes=None, random_state=0)
    for at in range(tree.node_count):
        own = path[:, at] if w is None else path[:, at] & (w > 0)
        assert own.sum() == tree.n_node_samples[at]
        best = stump.fit(rows[own], y[own], sample_weight=None if w is None else w[own]).tree_
        scale = 1e-9 * max(1.0, tree.impurity[0])
        assert abs(gain(tree, at) - gain(best, 0)) <= scale, at
        assert abs(tree.impurity[at] - best.impurity[0]) <= scale, at


def gain(tree: Any, at: int) -> float:
    """How much purer the children of a node are than it is; 0 for a leaf."""
    if tree.children_left[at] < 0:
        return 0.0
    children = [tree.children_left[at], tree.children_right[at]]
    shares = tree.weighted_n_node_samples[children] / tree.weighted_n_node_samples[at]
    return float(tree.impurity[at] - shares @ tree.impurity[children])

"""Rows dealt over nodes, summed and solved, against scikit-learn on the pooled rows."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier

from talkoot.core.context import Ctx
from talkoot.core.engine import Run
from talkoot.core.learner import Learner
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.data.schema import agree
from talkoot.data.shards import shards
from talkoot.engines.inline import Inline
from talkoot.learners.bayes import naive_bayes as bayes
from talkoot.learners.decompose import pca as decompose
from talkoot.learners.linear import gram
from talkoot.testing.compare import assert_same

FITS: dict[type, Callable[[Any], Learner]] = {**gram.FITS, **decompose.FITS, **bayes.FITS}
NODES = (1, 2, 3, 7)


def over(nodes: int, X: Any, *more: Any) -> dict[str, Any]:
    """Rows, targets and weights dealt in turn, and one node more that has none.

    Where the target holds classes and there are several nodes, the first one lacks the last class.
    """
    owner = np.arange(X.shape[0]) % nodes
    if more and more[0] is not None and np.asarray(more[0]).dtype.kind not in "f" and nodes > 1:
        owner[(owner == 0) & (more[0] == np.unique(more[0])[-1])] = 1
    deal = [np.flatnonzero(owner == node) for node in range(nodes)] + [np.arange(0)]
    given = [X, *(m for m in more if m is not None)]
    parts = [tuple(rows(g, part) for g in given) for part in deal]
    return {f"node{i}": part if len(given) > 1 else part[0] for i, part in enumerate(parts)}


def rows(given: Any, part: np.ndarray) -> Any:
    """Some rows of an array or a table."""
    return given.iloc[part] if hasattr(given, "iloc") else given[part]


def learn(estimator: Any, data: Mapping[str, Any], **agreed: Any) -> Run:
    """A run over named nodes; `agreed` changes the schema that they agreed on."""
    schema, bound = agree(shards(data), Inline(), labels=is_classifier(estimator))
    return run(Plan(FITS[type(estimator)](estimator)), bound, Inline(), schema=replace(schema, **agreed))


def fit(estimator: Any, data: Mapping[str, Any], **agreed: Any) -> Any:
    """The estimator fitted over named nodes."""
    done = learn(estimator, data, **agreed)
    return done.plan.learner.finish(done.model)


def pooled(estimator: Any, X: Any, y: Any = None, w: Any = None) -> Any:
    """The estimator fitted by scikit-learn, whose warnings are not the point here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return clone(estimator).fit(X, y) if w is None else clone(estimator).fit(X, y, sample_weight=w)


def assert_fits(got: Any, want: Any, rtol: float = 1e-9, *, without: tuple[str, ...] = ()) -> None:
    """Fitted attributes agree within rtol of the greatest number of each, and so do their dtypes."""
    without += ("dual_gap_",)  # a difference of two nearly equal numbers
    got, want = (clone_with(model, without) for model in (got, want))
    assert_same(got, want, rtol=rtol)
    for name, value in vars(want).items():
        if isinstance(value, np.ndarray | np.floating):
            assert getattr(got, name).dtype == value.dtype, name
    assert b"talkoot" not in pickle.dumps(got)


def clone_with(model: Any, without: tuple[str, ...]) -> Any:
    """A copy of a fitted model that lacks some attributes."""
    copied = pickle.loads(pickle.dumps(model))
    for name in without:
        vars(copied).pop(name, None)
    return copied


def forgotten(estimator: Any, data: Mapping[str, Any], leaver: str) -> Any:
    """The estimator after one node's sums were subtracted from the last round; None if that asks for more."""
    done = learn(estimator, data)
    learner = done.plan.learner
    assert learner.closed
    _, bound = agree(shards(data), Inline(), labels=done.schema.classes is not None)
    said, _ = learner.work(learner.question(done.point), None, bound[leaver], Ctx(node=leaver))
    left, ended = done.plan.outer.apply(done.point, done.update - said, done.plan.outer.init(done.point))
    return learner.finish(left) if done.plan.outer.done(ended) else None

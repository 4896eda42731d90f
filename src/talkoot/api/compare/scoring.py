"""The scorer of a comparison, tested before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, final

import numpy as np
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils import Tags, get_tags

from talkoot.core.errors import PlanError
from talkoot.core.shard import Schema
from talkoot.learners.held_out.scores import RESPONSES


def choose_scorer(scoring: Any, estimator: Any, schema: Schema) -> Any:
    """The scorer or its name, once it has been tested with such an estimator and such a target.

    Args:
        scoring: name of a scikit-learn scorer, what `sklearn.metrics.make_scorer` makes, or None to choose:
            area under the ROC curve for two classes, accuracy for more, R2 for numbers.
        estimator: what is scored.
        schema: of the rows.

    Raises:
        PlanError: it is no scorer, or one that cannot score such models or targets.
    """
    if scoring is None:
        if schema.classes is None:
            return "r2"
        return "roc_auc" if len(schema.classes) == 2 else "accuracy"
    if isinstance(scoring, str):
        require_known_scorer(scoring)
    elif not hasattr(scoring, "_score_func"):
        raise PlanError(
            f"scoring={scoring!r} is no scorer of scikit-learn",
            cure="Give a name, or what sklearn.metrics.make_scorer(...) makes.",
        )
    _try(scoring, estimator, schema)
    return scoring


def require_known_scorer(scoring: str) -> None:
    """Refuse a name that is no scorer of scikit-learn."""
    known = get_scorer_names()
    if scoring not in known:
        near = get_close_matches(scoring, known, n=1)
        cure = f"Did you mean {near[0]!r}?" if near else "See sklearn.metrics.get_scorer_names()."
        raise PlanError(f"scoring={scoring!r} is no scorer of scikit-learn", cure=cure)


def _try(scoring: Any, estimator: Any, schema: Schema) -> None:
    """Score perfect predictions of a few made-up rows, so that a wrong scorer fails before training."""
    stub = _PerfectModel(estimator, schema)
    y: Any = stub.targets
    try:
        get_scorer(scoring)(stub, np.arange(len(y))[:, np.newaxis], y)
    except (ValueError, TypeError, AttributeError) as error:
        name = type(estimator).__name__
        why = str(error).strip().split("\n")[0].rstrip(".").replace(_PerfectModel.__name__, name)
        what = f"scoring={scoring!r} cannot score {name} here: {why}"
        raise PlanError(what, cure=_cure(scoring, error, schema)) from error


def _cure(scoring: Any, error: Exception, schema: Schema) -> str:
    if schema.classes is None:
        return "Take a score for numbers, such as 'r2' or 'neg_mean_absolute_error'."
    if isinstance(error, AttributeError):
        return "Take a score of predicted labels, such as 'accuracy' or 'f1_macro'."
    labels, name = schema.classes.tolist(), scoring if isinstance(scoring, str) else ""
    if len(labels) > 2:
        near = {"roc_auc": "'roc_auc_ovr'"}.get(name, f"'{name}_macro'")
        known = near.strip("'") in get_scorer_names()
        return f"For {len(labels)} classes take {near if known else repr('accuracy')}."
    if "pos_label" in str(error) and name:
        scorer: Any = get_scorer(name)
        response = getattr(scorer, "_response_method", "predict")
        how = "" if response == "predict" else f", response_method={response!r}"
        how += "" if getattr(scorer, "_sign", 1) > 0 else ", greater_is_better=False"
        made = f"make_scorer({scorer._score_func.__name__}{how}, pos_label={labels[1]!r})"
        macro = f", or '{name}_macro'" if f"{name}_macro" in get_scorer_names() else ""
        return f"Say which label counts as positive: scoring={made}{macro}."
    return "Take another score, such as 'accuracy'."


@final
class _PerfectModel:
    """Predicts a few made-up targets correctly, with the methods of an estimator."""

    def __init__(self, estimator: Any, schema: Schema) -> None:
        self.estimator = estimator
        if schema.classes is None:
            self.targets = np.arange(1.5, 9.0)  # positive, and not whole, as whole numbers might be labels
            if schema.outputs:
                self.targets = np.outer(self.targets, np.ones(schema.outputs))
            return
        self.classes_ = schema.classes
        self.codes = np.tile(np.arange(len(schema.classes)), 2)
        self.targets = schema.classes[self.codes]

    def __sklearn_tags__(self) -> Tags:
        return get_tags(self.estimator)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "estimator" not in self.__dict__:
            raise AttributeError(name)
        attribute = getattr(self.estimator, name)  # raises where the estimator lacks it
        return self._response(name) if name in RESPONSES else attribute

    def _response(self, name: str) -> Callable[[np.ndarray], np.ndarray]:
        def response(rows: np.ndarray) -> np.ndarray:
            at = rows.ravel()
            if name == "predict":
                return np.asarray(self.targets[at])
            proba = 0.1 + 0.8 * np.eye(len(self.classes_))[self.codes[at]]
            proba /= proba.sum(axis=1, keepdims=True)
            if name == "decision_function" and len(self.classes_) == 2:
                return np.asarray(proba[:, 1] - 0.5)
            return np.asarray(np.log(proba)) if name == "predict_log_proba" else proba

        response.__name__ = name  # scorers read it
        return response

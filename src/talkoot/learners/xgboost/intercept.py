"""What XGBoost predicts before the first tree."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from scipy.special import expit, logit, softmax

from talkoot.core.shard import Schema
from talkoot.learners.xgboost.booster import dry_fit
from talkoot.learners.xgboost.ranking import MEASURES
from talkoot.learners.xgboost.rules import objective_of, parameter

LEAST = np.float32(1e-6)  # probability of a class
IDENTITY = (np.positive, np.positive)
LINKS = {"binary:logistic": (logit, expit), "count:poisson": (np.log, np.exp), "reg:gamma": (np.log, np.exp)}


def intercept(estimator: Any, schema: Schema, baseline: np.ndarray) -> np.ndarray:
    """(outputs,) what XGBoost predicts before the first tree and before the link: its base scores.

    They are the estimator's own, else those that XGBoost 3 estimates.

    Args:
        estimator: whose objective it is.
        schema: of the columns.
        baseline: (outputs,) the best prediction without a tree, before the link.
    """
    scores, objective = base_scores(estimator, schema, baseline), objective_of(estimator, schema)
    if estimator.base_score is not None:
        saved = json.loads(bytes(dry_fit(estimator, schema).save_raw("json")))
        given = json.loads(saved["learner"]["learner_model_param"]["base_score"])
        scores = np.broadcast_to(np.array(given, dtype=np.float32), baseline.shape)
    elif objective in MEASURES:
        scores = np.zeros_like(scores)  # as the gradients of a query add up to 0
    elif objective.startswith("multi:"):
        logarithms = np.log(np.maximum(softmax(baseline), LEAST))
        scores = (logarithms - logarithms.mean()).astype(np.float32)
    elif objective == "binary:logistic" and parameter(estimator, "scale_pos_weight", 1.0) != 1:
        scores = expit(4 * (expit(baseline) - 0.5)).astype(np.float32)  # one Newton step from 0
    if objective == "binary:logistic":
        scores = np.clip(scores, LEAST, 1 - LEAST)
    return np.asarray(LINKS.get(objective, IDENTITY)[0](scores.astype(np.float64)))


def base_scores(estimator: Any, schema: Schema, margins: np.ndarray) -> np.ndarray:
    """(outputs,) float32, behind the link what is predicted before it."""
    return np.asarray(LINKS.get(objective_of(estimator, schema), IDENTITY)[1](margins), dtype=np.float32)

"""LightGBM's estimators, and what they learn in worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.base import is_classifier

import talkoot as tk
from talkoot.core.engine import Engine
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.data.schema import agree

PLAIN = {"verbose": -1, "deterministic": True, "force_row_wise": True, "n_jobs": 1, "n_estimators": 8}


def classifier(**parameters: Any) -> Any:
    import lightgbm

    return lightgbm.LGBMClassifier(**{**PLAIN, **parameters})


def regressor(**parameters: Any) -> Any:
    import lightgbm

    return lightgbm.LGBMRegressor(**{**PLAIN, **parameters})


@contextmanager
def same_updates() -> Iterator[None]:
    """As workers go on to other fits, what is done to LightGBM's boosters does not last."""
    import lightgbm

    before = lightgbm.Booster.update
    try:
        yield
    finally:
        setattr(lightgbm.Booster, "update", before)  # noqa: B010


def in_workers(learner: Any, data: Any, workers: int, sync: Any = None, on: Engine | None = None) -> Any:
    """The model of so many processes, which `tk.fit` would not start on one machine."""
    estimator = getattr(learner, "learner", learner).estimator
    schema, bound = agree(tk.shards(data), tk.Inline(), labels=is_classifier(estimator))
    return learner.finish(run(Plan(learner, sync=sync), bound, on or tk.Local(workers), schema=schema).model)

"""River's models as they are. Their state is a pickle, the only one of online models.

River's models are Python objects, so their state cannot be arrays; it is bytes under one name, read again at
each batch. Whoever can write a store of such a model can run code where it is read.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from talkoot.core.errors import PlanError
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.model import Floats, OnlineModel, Task
from talkoot.learners.online.state import State


@final
@dataclass(frozen=True)
class River(OnlineModel):
    """A model of River that learns one row after the other; needs ``talkoot[river]``.

    Rows are dictionaries by the columns' names, without what is missing; a category is the text of its hash.

    Args:
        model: a classifier or a regressor of River, or a pipeline that ends in one.

    >>> import talkoot as tk
    >>> from river import linear_model
    >>> tk.online.River(linear_model.LogisticRegression()).task
    'classes'
    """

    model: Any

    def __post_init__(self) -> None:
        if not hasattr(self.model, "learn_one") or not hasattr(self.model, "predict_one"):
            raise PlanError(f"{type(self.model).__name__} is no model of River that learns from labels")

    @property
    def task(self) -> Task:
        """What is predicted."""
        from river import base

        last = list(self.model.steps.values())[-1] if hasattr(self.model, "steps") else self.model
        if isinstance(last, base.Regressor):
            return "number"
        if isinstance(last, base.Classifier):
            return "classes"
        raise PlanError(f"{type(self.model).__name__} is neither a classifier nor a regressor")

    def start(self, layout: Layout, seed: int) -> State:
        """The model as it was given, and the names of the columns."""
        names = (layout.numbers, layout.categories)
        return {"pickle": _packed((self.model.clone(), names)), "classes": np.array([layout.classes])}

    def learn(self, state: State, rows: Features, y: Floats, w: Floats | None = None) -> NDArray[Any]:
        """Learn rows in their order; what was predicted for each before it was learned.

        Raises:
            PlanError: weights were given that are not 0 or 1.
        """
        if w is not None and not np.isin(w, (0, 1)).all():
            raise PlanError("models of River learn rows of weight 1")
        model, names = pickle.loads(state["pickle"].tobytes())
        classes = int(state["classes"][0])
        learned = ~np.isnan(y) if w is None else ~np.isnan(y) & (w != 0)
        out = np.empty((len(rows), classes) if classes else len(rows))
        for i, row in enumerate(_dictionaries(rows, names)):
            out[i] = _predicted(model, row, classes)
            if learned[i]:
                model.learn_one(row, int(y[i]) if classes else float(y[i]))
        if learned.any():
            state["pickle"] = _packed((model, names))
        return out

    def predict(self, state: State, rows: Features) -> NDArray[Any]:
        """Predictions from the state as it is."""
        return self.learn(state, rows, np.full(len(rows), np.nan))

    def widen(self, state: State, classes: int) -> None:
        """River's models find classes by themselves."""
        state["classes"] = np.array([max(classes, int(state["classes"][0]))])


def _packed(value: Any) -> NDArray[np.uint8]:
    return np.frombuffer(pickle.dumps(value), np.uint8).copy()


def _dictionaries(rows: Features, names: tuple[tuple[str, ...], tuple[str, ...]]) -> list[dict[str, Any]]:
    """Rows as River reads them."""
    numbers, categories = names
    found: list[dict[str, Any]] = []
    for row, hashes in zip(rows.numbers.tolist(), rows.categories.tolist(), strict=True):
        one = {n: x for n, x in zip(numbers, row, strict=True) if abs(x) < np.inf}
        found.append(one | {n: f"{h:x}" for n, h in zip(categories, hashes, strict=True) if h})
    return found


def _predicted(model: Any, row: dict[str, Any], classes: int) -> Any:
    """A number, or probabilities of the classes; alike for all where the model knows none yet."""
    if not classes:
        return model.predict_one(row) or 0.0
    shares = model.predict_proba_one(row)
    found = np.array([float(shares.get(k, 0.0)) for k in range(classes)])
    return found / found.sum() if found.sum() > 0 else np.full(classes, 1 / classes)

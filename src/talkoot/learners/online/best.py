"""A choice among several models while they learn: no learner wins everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from talkoot.core.errors import PlanError
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.model import Floats, OnlineModel, Task
from talkoot.learners.online.state import State, placed, replace_under, under

LEAST = 1e-4  # a probability below it counts as this, so that one surprise does not decide


@final
@dataclass(frozen=True)
class Best(OnlineModel):
    """Several models learn side by side; each row is predicted by the one whose recent loss is the least.

    Args:
        models: two models or more that predict the same: classes, or a number.
        fade: what a sum of losses is multiplied by at each row; 0.999 looks back about 1,000 rows.

    >>> import talkoot as tk
    >>> tk.online.Best([tk.online.Logistic(), tk.online.NaiveBayes()]).task
    'classes'
    """

    models: tuple[OnlineModel, ...]
    fade: float = 0.999

    def __init__(self, models: Iterable[OnlineModel], fade: float = 0.999) -> None:
        object.__setattr__(self, "models", tuple(models))
        object.__setattr__(self, "fade", fade)
        tasks = {model.task for model in self.models}
        if len(self.models) < 2 or not 0 < fade <= 1:
            raise PlanError("Best takes two models or more, and 0 < fade <= 1")
        if "clusters" in tasks or ("number" in tasks and len(tasks) > 1):
            raise PlanError(
                f"the models predict different things: {', '.join(sorted(tasks))}",
                cure="Take models that all predict classes, or all a number.",
            )

    @property
    def task(self) -> Task:
        """What is predicted: as all models do; classes where some predict classes and others binary."""
        tasks = {model.task for model in self.models}
        return self.models[0].task if len(tasks) == 1 else "classes"

    @property
    def needs_labels_at_once(self) -> bool:
        """Whether one of the models does."""
        return any(model.needs_labels_at_once for model in self.models)

    def start(self, layout: Layout, seed: int) -> State:
        """The states of all models, each under its number."""
        state: State = {"fading": np.zeros(len(self.models))}
        for number, model in enumerate(self.models):
            state |= placed(model.start(layout, seed + number), f"{number}/")
        return state

    def learn(self, state: State, rows: Features, y: Floats, w: Floats | None = None) -> NDArray[Any]:
        """Learn rows in their order, in place; what the best model so far predicted for each."""
        from talkoot.kernels.choice import best_so_far

        y = np.asarray(y, np.float64)
        predicted = []
        for number, model in enumerate(self.models):
            part = under(state, f"{number}/")
            predicted.append(self._alike(model, model.learn(part, rows, y, w)))
            replace_under(state, f"{number}/", part)
        weights = np.ones(len(rows)) if w is None else np.where(w == 0, np.nan, w)
        losses = np.stack([self._losses(one, y) for one in predicted], axis=1) * weights[:, None]
        chosen = best_so_far(np.ascontiguousarray(losses), state["fading"], self.fade)
        picked: NDArray[Any] = np.stack(predicted)[chosen, np.arange(len(rows))]
        return picked

    def predict(self, state: State, rows: Features) -> NDArray[Any]:
        """Predictions of the best model so far."""
        best = int(np.argmin(state["fading"]))
        model = self.models[best]
        return self._alike(model, model.predict(under(state, f"{best}/"), rows))

    def widen(self, state: State, classes: int) -> None:
        """Each model makes room for new classes."""
        for number, model in enumerate(self.models):
            part = under(state, f"{number}/")
            model.widen(part, classes)
            replace_under(state, f"{number}/", part)

    def _alike(self, model: OnlineModel, predicted: NDArray[Any]) -> NDArray[Any]:
        """Probabilities of both classes where others predict so."""
        if self.task == "classes" and model.task == "binary":
            return np.stack([1 - predicted, predicted], axis=1)
        return predicted

    def _losses(self, predicted: NDArray[Any], y: Floats) -> NDArray[np.float64]:
        """The loss of each row, nan without a label."""
        if self.task == "number":
            return np.square(predicted - y)
        if self.task == "binary":
            right = np.where(y == 1, predicted, 1 - predicted)
        else:
            codes = np.where(np.isnan(y), 0, y).astype(np.intp)
            right = predicted[np.arange(len(y)), codes]
        losses: NDArray[np.float64] = np.where(np.isnan(y), np.nan, -np.log(np.maximum(right, LEAST)))
        return losses

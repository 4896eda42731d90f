"""The last labels as features, for streams whose labels come at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from talkoot.core.errors import PlanError
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.model import Floats, OnlineModel, Task
from talkoot.learners.online.state import State, placed, replace_under, under

MIX = np.uint64(0x9E3779B97F4A7C15)


@final
@dataclass(frozen=True)
class Lagged(OnlineModel):
    """Gives a model the labels of the last rows as features; only where each comes before the next row.

    Args:
        model: the model that learns from them too.
        labels: how many labels back.

    >>> import talkoot as tk
    >>> tk.online.Lagged(tk.online.Logistic()).needs_labels_at_once
    True
    """

    model: OnlineModel
    labels: int = 1

    def __post_init__(self) -> None:
        if self.labels < 1 or self.model.task == "clusters":
            raise PlanError("Lagged takes a model that learns from labels, and one label or more")

    @property
    def task(self) -> Task:
        """What is predicted: as the model does."""
        return self.model.task

    @property
    def needs_labels_at_once(self) -> bool:
        """A late label would be that of another row."""
        return True

    def start(self, layout: Layout, seed: int) -> State:
        """The model's state, and no label yet."""
        names = tuple(f"label, {back} before" for back in range(1, self.labels + 1))
        as_number = self._as_numbers
        wider = replace(
            layout,
            numbers=layout.numbers + (names if as_number else ()),
            categories=layout.categories + (() if as_number else names),
        )
        return {"last": np.full(self.labels, np.nan), **placed(self.model.start(wider, seed), "model/")}

    @property
    def _as_numbers(self) -> bool:
        return self.task != "classes"

    def learn(self, state: State, rows: Features, y: Floats, w: Floats | None = None) -> NDArray[Any]:
        """Learn rows in their order, in place; what was predicted for each before it was learned."""
        if len(y) != len(rows):
            raise PlanError(f"{len(rows)} rows have {len(y)} labels")
        known = np.concatenate([state["last"], y])  # the oldest first
        back = [known[self.labels - lag : self.labels - lag + len(y)] for lag in range(1, self.labels + 1)]
        part = under(state, "model/")
        predicted = self.model.learn(part, self._with(rows, back), y, w)
        replace_under(state, "model/", part)
        state["last"][:] = known[len(y) :]
        return predicted

    def predict(self, state: State, rows: Features) -> NDArray[Any]:
        """Predictions from the labels that are known now."""
        back = [np.full(len(rows), state["last"][-lag]) for lag in range(1, self.labels + 1)]
        return self.model.predict(under(state, "model/"), self._with(rows, back))

    def widen(self, state: State, classes: int) -> None:
        """The model makes room for new classes."""
        part = under(state, "model/")
        self.model.widen(part, classes)
        replace_under(state, "model/", part)

    def _with(self, rows: Features, back: list[NDArray[np.float64]]) -> Features:
        """The features and the last labels, as numbers or, of classes, as categories."""
        if self._as_numbers:
            return replace(rows, numbers=np.column_stack([rows.numbers, *back]))
        hashed = [
            np.where(np.isnan(label), 0, _code(label) + 1 + 1e6 * lag).astype(np.uint64) * MIX
            for lag, label in enumerate(back)
        ]
        return replace(rows, categories=np.column_stack([rows.categories, *hashed]))


def _code(label: NDArray[np.float64]) -> NDArray[np.float64]:
    """Labels as codes; what is none becomes 0, and the model refuses it by name."""
    codes: NDArray[np.float64] = np.nan_to_num(label, posinf=0.0).clip(0)
    return codes

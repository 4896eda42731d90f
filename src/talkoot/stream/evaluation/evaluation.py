"""Scores over sliding and fading windows, always beside what needs no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from talkoot.core.errors import DataError, PlanError
from talkoot.learners.online.state import State, placed, under
from talkoot.stream.evaluation import baselines
from talkoot.stream.evaluation.sums import as_matrix, class_cells, number_cells, scores, size

Floats = NDArray[np.float64]


@final
@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good predictions were that were made before their labels were known (prequential evaluation).

    Classes are measured by log-loss, Brier score, accuracy, kappa and, for two, roc_auc (within .003);
    numbers by MAE, RMSE and R2. Beside the model stand the last label and the majority (last value and mean
    for numbers).

    Args:
        windows: lengths of sliding windows in rows.
        fading: how much earlier rows count after each row; 1 counts all rows alike.

    >>> import talkoot as tk
    >>> evaluation = tk.Evaluation(windows=(2,), fading=(1.0,))
    >>> state = evaluation.start(classes=2)
    >>> evaluation.update(state, np.array([0.0, 1.0, 1.0]), np.array([0.6, 0.9, 0.8]))
    >>> found = evaluation.scores(state)
    >>> found["last 2"]["model"]["accuracy"], found["all"]["model"]["accuracy"].__round__(3)
    (1.0, 0.667)
    >>> found["last 2"]["last label"]["accuracy"]
    0.5
    """

    windows: tuple[int, ...] = (1000, 10_000)
    fading: tuple[float, ...] = (0.9999, 1.0)

    def __post_init__(self) -> None:
        if any(rows < 1 for rows in self.windows) or any(not 0 < keep <= 1 for keep in self.fading):
            raise PlanError("windows are of at least one row, and fading is above 0 and at most 1")

    def start(self, classes: int) -> State:
        """No rows; `classes` is 0 for numbers."""
        state: State = {"classes": np.array([classes]), "rows": np.zeros(1, np.int64)}
        state |= placed(baselines.start(classes), "baselines/")
        state["ring"] = np.full((max(self.windows, default=0), 2 + 3 * max(1, classes)), np.nan)
        for k, _ in enumerate(self.fading):
            state[f"fading{k}/sums"] = np.zeros((3, size(classes)))
            state[f"fading{k}/weight"] = np.ones(3)
        return state

    def last(self, state: State) -> float:
        """The last label that is known, to be passed back with rows whose labels come later."""
        return float(state["baselines/last"][0])

    def update(
        self,
        state: State,
        y: NDArray[Any],
        predictions: NDArray[Any],
        last: NDArray[Any] | None = None,
        positions: NDArray[Any] | None = None,
    ) -> None:
        """Labels have become known for rows that were predicted before.

        Args:
            state: changed in place.
            y: labels, classes as codes.
            predictions: (rows,), or (rows, classes).
            last: the last label that was known at each prediction; None: the label of the row before.
            positions: where the rows stand in the stream, for labels that are corrected later.

        Raises:
            DataError: a label or prediction is not finite, or a class is new: widen first.
        """
        y = np.asarray(y, np.float64)
        classes = int(state["classes"][0])
        self._check(y, predictions, classes)
        own = under(state, "baselines/")
        before = baselines.last_of(own, y) if last is None else np.asarray(last, np.float64)
        at = state["rows"][0] + np.arange(len(y)) if positions is None else positions
        bases = (baselines.classes if classes else baselines.numbers)(own, y, before)
        three = [as_matrix(predictions, classes) if classes else np.asarray(predictions, np.float64), *bases]
        self._fade(state, y, three, classes)
        state["rows"] += len(y)
        if len(state["ring"]):
            rows = np.column_stack([at, y, *three])
            place = (state["rows"][0] - len(y) + np.arange(len(y))) % len(state["ring"])
            newest = slice(max(0, len(y) - len(state["ring"])), None)
            state["ring"][place[newest]] = rows[newest]

    def correct(self, state: State, y: NDArray[Any], was: NDArray[Any], positions: NDArray[Any]) -> None:
        """Labels were corrected: sliding windows that hold the rows count them anew.

        Fading windows stay as they are: what a row added there can no longer be told apart.
        """
        where = {int(at): i for i, at in enumerate(state["ring"][:, 0]) if np.isfinite(at)}
        for at, label, old in zip(positions.tolist(), y.tolist(), was.tolist(), strict=True):
            i = where.get(int(at))
            if i is not None and state["ring"][i, 1] == old:
                state["ring"][i, 1] = label

    def widen(self, state: State, classes: int) -> None:
        """Make room for classes that were never seen before; scores begin anew, as other measures hold."""
        if classes > int(state["classes"][0]):
            fresh = self.start(classes)
            fresh["baselines/last"][:] = state["baselines/last"]
            state.update(fresh)

    def sums(self, state: State) -> State:
        """What the scores are made of, by window for model and baselines: arrays that add over nodes."""
        classes, found = int(state["classes"][0]), {}
        n = int(state["rows"][0])
        for rows in self.windows:
            order = np.arange(max(0, n - rows), n) % max(1, len(state["ring"]))
            part = state["ring"][order]
            width = max(1, classes)
            found[f"last {rows}"] = np.array(
                [_total(part[:, 1], part[:, 2 + k * width : 2 + (k + 1) * width], classes) for k in range(3)]
            )
        for k, keep in enumerate(self.fading):
            name = "all" if keep == 1 else f"fading {keep}"
            found[name] = state[f"fading{k}/sums"] / state[f"fading{k}/weight"][:, None]
        return found

    def scores(
        self, state: State, sums: Mapping[str, Any] | None = None
    ) -> dict[str, dict[str, dict[str, float]]]:
        """Measures by window and by predictor; of `sums` that were added over nodes, where given."""
        classes = int(state["classes"][0])
        names = ("model", "last label", "majority") if classes else ("model", "last value", "mean")
        found = self.sums(state) if sums is None else sums
        return {
            window: {name: scores(one, classes) for name, one in zip(names, three, strict=True)}
            for window, three in found.items()
        }

    def _check(self, y: Floats, predictions: NDArray[Any], classes: int) -> None:
        if len(predictions) != len(y):
            raise DataError(f"{len(predictions)} predictions came with {len(y)} labels")
        if not np.isfinite(y).all() or not np.isfinite(np.asarray(predictions, np.float64)).all():
            raise DataError(
                "a label or a prediction is not finite", cure="Leave such rows out, and look at the model."
            )
        if classes and len(y) and not (y.min() >= 0 and y.max() < classes and (y == np.floor(y)).all()):
            raise DataError(
                f"labels must be codes from 0 to {classes - 1}, not {y.min():g} to {y.max():g}",
                cure="Widen the evaluation when a class comes that was never seen before.",
            )

    def _fade(self, state: State, y: Floats, three: list[Floats], classes: int) -> None:
        from talkoot.kernels.fading import fade

        for which, predictions in enumerate(three):
            cells, values = _cells(y, predictions, classes)
            for k, keep in enumerate(self.fading):
                sums, weight = state[f"fading{k}/sums"][which], state[f"fading{k}/weight"][which : which + 1]
                fade(sums, weight, keep, cells, values)


def _cells(y: Floats, predictions: Floats, classes: int) -> tuple[NDArray[np.int64], Floats]:
    return class_cells(y, predictions, classes) if classes else number_cells(y, predictions.reshape(-1))


def _total(y: Floats, predictions: Floats, classes: int) -> Floats:
    """The sums of a few rows."""
    cells, values = _cells(y, predictions, classes)
    return np.asarray(np.bincount(cells.ravel(), values.ravel(), minlength=size(classes)), np.float64)

"""tk.explain.contributions: what each column adds to each prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from talkoot.api.explain.reasons import Reason, Reasons, cell, counted, strongest, towards_outcome
from talkoot.learners.explain.models import explained


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Contributions:
    """What each column adds to the predictions of some rows; see `contributions`.

    Args:
        values: (rows, columns); of several classes or targets (rows, columns, outputs).
        base: the prediction where no column is known, a mean over the training rows; of several (outputs,).
        unit: of both: "log-odds", "probability", "prediction", "log of the prediction" or "raw score".
        columns: their names.
        classes: of a classifier; None for numbers. Where `values` have two axes and there are two
            classes, they speak for the second.
        X: the rows that are explained.
    """

    values: np.ndarray
    base: Any
    unit: str
    columns: tuple[str, ...]
    classes: np.ndarray | None
    X: Any

    @property
    def predictions(self) -> np.ndarray:
        """(rows,) or (rows, outputs): the base and all contributions, which is what the model predicts."""
        return np.asarray(self.base + self.values.sum(axis=1))

    def reasons(self, row: int, *, towards: Any, k: int = 4) -> Reasons:
        """The columns that moved a row's prediction most towards an outcome, such as a refusal.

        Lenders owe them to whom they refuse, such as by Regulation B in the US (12 CFR 1002.9). Columns that
        spoke against the outcome are no reasons; where few spoke for it, there are fewer than `k`.

        Args:
            row: its number, from 0.
            towards: the outcome: a class, or of numbers "higher" or "lower".
            k: how many reasons at most.

        Raises:
            DataError: there is no such row, or `k` is below 1.
            PlanError: there is no such outcome.

        >>> import numpy as np, talkoot as tk
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> X = np.array([[0.0, 5.0], [0.0, 6.0], [1.0, 5.0], [1.0, 6.0]])
        >>> model = DecisionTreeClassifier().fit(X, ["paid", "paid", "default", "default"])
        >>> print(tk.explain.contributions(model, X).reasons(2, towards="default"))
        row 2, what speaks for 'default', in probability
        column  value  contribution
        x0      1              +0.5
        """
        row, k = counted("row", row, 0, len(self)), counted("k", k, 1)
        towards = towards.item() if isinstance(towards, np.generic) else towards
        values = towards_outcome(self.values, self.classes, towards)[row]
        reasons = tuple(
            Reason(
                column=self.columns[j],
                value=cell(self.X, row, j),
                contribution=float(values[j]),
            )
            for j in strongest(values, k)
        )
        return Reasons(row=row, towards=towards, unit=self.unit, reasons=reasons)

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        outputs = f" x {self.values.shape[2]} outputs" if self.values.ndim > 2 else ""
        return f"<Contributions: {len(self)} rows x {len(self.columns)} columns{outputs}, {self.unit}>"


def contributions(model: Any, X: Any) -> Contributions:
    """What each column adds to each prediction: exact Shapley values of a model of trees.

    A prediction is the base plus the contributions of all columns. A column's contribution is how much the
    expected prediction changes when its value becomes known, averaged over all orders in which values may
    become known; what is not known yet is averaged over the training rows as they went down the trees
    (Lundberg et al. 2020, Nature Machine Intelligence 2). They explain the model, not the world: columns
    that go together share what either of them tells.

    Args:
        model: a fitted HistGradientBoosting model, forest or decision tree, or a model of XGBoost or
            LightGBM.
        X: rows as the model predicts them, (rows, columns).

    Returns:
        Contributions in the unit of the model's sum: of HistGradientBoostingClassifier its
        `decision_function` (of two classes log-odds), of forests `predict_proba`, of regressors `predict`
        (its logarithm with a Poisson or gamma loss), of XGBoost its margin, in XGBoost's single precision,
        of LightGBM its raw score.

    Raises:
        PlanError: such a model cannot be explained, or is not fitted.
        DataError: the model cannot read the rows, such as columns with other names.

    >>> import numpy as np, talkoot as tk
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> X = np.array([[0.0, 5.0], [0.0, 6.0], [1.0, 5.0], [1.0, 6.0]])
    >>> model = DecisionTreeRegressor().fit(X, [0.0, 0.0, 4.0, 4.0])
    >>> found = tk.explain.contributions(model, X[2:3])
    >>> found.base, found.values.tolist(), found.predictions.tolist()
    (2.0, [[2.0, 0.0]], [4.0])
    """
    found = explained(model, X)
    return Contributions(
        values=found.values,
        base=found.base,
        unit=found.unit,
        columns=found.names or tuple(f"x{j}" for j in range(found.values.shape[1])),
        classes=found.classes,
        X=_own_rows(X, found.names),
    )


def _own_rows(X: Any, names: tuple[str, ...] | None) -> Any:
    """The rows as they are now, their columns in the model's order where it knows names."""
    if hasattr(X, "column_names"):  # a table of Arrow
        X = X if names is None else X.select(list(names))
        return np.array([column.to_pylist() for column in X.columns], dtype=object).T
    if hasattr(X, "columns") and names is not None and list(X.columns) != list(names):
        X = X[list(names)]
    return X.copy() if hasattr(X, "copy") else X.clone() if hasattr(X, "clone") else np.array(X)

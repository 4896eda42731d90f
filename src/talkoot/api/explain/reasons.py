"""Reasons for one decision: the columns that moved a row's prediction most towards an outcome."""

from __future__ import annotations

import operator
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np

from talkoot.api.text_table import text_table
from talkoot.core.errors import DataError, PlanError

HIGHER, LOWER = "higher", "lower"
ROUNDING = 1e-12  # contributions below this share of the row's largest one are zeros


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A column that moved a prediction towards an outcome.

    Args:
        column: its name.
        value: what the row has there; None where it is missing.
        contribution: how far it moved the prediction, above 0.
    """

    column: str
    value: Any
    contribution: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """The reasons for one row's prediction, the strongest first; see `Contributions.reasons`.

    Args:
        row: the row's number, from 0.
        towards: the outcome.
        unit: of the contributions.
        reasons: at most as many as were requested.

    >>> debt = Reason(column="debt", value=0.8, contribution=1.25)
    >>> age = Reason(column="age", value=None, contribution=0.125)
    >>> print(Reasons(row=0, towards="denied", unit="log-odds", reasons=(debt, age)))
    row 0, what speaks for 'denied', in log-odds
    column  value    contribution
    debt    0.8             +1.25
    age     missing        +0.125
    """

    row: int
    towards: Any
    unit: str
    reasons: tuple[Reason, ...]

    def __len__(self) -> int:
        return len(self.reasons)

    def __str__(self) -> str:
        head = f"row {self.row}, what speaks for {self.towards!r}, in {self.unit}"
        if not self.reasons:
            return f"{head}: no column"
        lines = [(each.column, _shown(each.value), f"{each.contribution:+.4g}") for each in self.reasons]
        return f"{head}\n{text_table([('column', 'value', 'contribution'), *lines], right=(2,))}"

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        return asdict(self)


def strongest(values: np.ndarray, k: int) -> list[int]:
    """The places of the k largest values above 0, the largest first.

    >>> strongest(np.array([0.5, -2.0, 3.0, 0.0]), 4)
    [2, 0]
    """
    order = np.argsort(-values, kind="stable")[:k]
    least = ROUNDING * np.abs(values).max(initial=0.0)
    return [int(j) for j in order if values[j] > least]


def towards_outcome(values: np.ndarray, classes: np.ndarray | None, towards: Any) -> np.ndarray:
    """(rows, columns) contributions towards an outcome, of contributions to all outputs.

    Raises:
        PlanError: there is no such outcome.
    """
    if classes is None:
        if values.ndim > 2:
            cure = "Fit one model a target."
            raise PlanError(f"reasons are for one target, and there are {values.shape[2]}", cure=cure)
        if not isinstance(towards, str) or towards not in (HIGHER, LOWER):
            cure = f"Write towards={HIGHER!r} or towards={LOWER!r}."
            raise PlanError(f"towards={towards!r} is no direction of a number", cure=cure)
        return values if towards == HIGHER else -values
    labels = classes.tolist()
    if towards not in labels:
        raise PlanError(f"towards={towards!r} is no class", cure=f"The classes are {labels}.")
    place = labels.index(towards)
    if values.ndim > 2:
        return np.asarray(values[:, :, place])
    return values if place else -values


def counted(name: str, value: Any, least: int, below: int | None = None) -> int:
    """A whole number within its limits.

    Raises:
        DataError: it is none.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise DataError(f"{name}={value!r} is no whole number") from None
    if number < least or (below is not None and number >= below):
        limits = f"at least {least}" if below is None else f"from {least} to {below - 1}"
        raise DataError(f"{name}={number} is out of range", cure=f"Take one {limits}.")
    return number


def cell(X: Any, row: int, column: int) -> Any:
    """What a row has in a column; None where it is missing."""
    frame = hasattr(X, "columns")
    values = X.iloc[:, column] if hasattr(X, "iloc") else X[:, column] if frame else np.asarray(X)[:, column]
    value = np.asarray(values)[row]
    value = value.item() if isinstance(value, np.generic) else value
    missing = value is None or (isinstance(value, float) and np.isnan(value)) or str(value) in ("<NA>", "NaT")
    return None if missing else value


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    return f"{value:.6g}" if isinstance(value, float) else str(value)

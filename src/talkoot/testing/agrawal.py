"""Agrawal's loan applications: nine attributes, ten rules for who belongs to group 1.

After Agrawal, Imielinski and Swami, "Database Mining: A Performance Perspective" (1993).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]
RANGES = {
    "salary": (20e3, 150e3),
    "commission": (10e3, 75e3),
    "age": (20, 80),
    "hyears": (1, 30),
    "loan": (0, 500e3),
}


def agrawal(rows: int, *, seed: int, concept: int = 0, noise: float = 0.05) -> pa.RecordBatch:
    """Six numbers, three categories and a label of two classes by rule `concept` (0 to 9).

    Numbers are moved by up to `noise` of their range after the label was decided.

    >>> agrawal(2, seed=0).schema.names
    ['salary', 'commission', 'age', 'hvalue', 'hyears', 'loan', 'elevel', 'car', 'zipcode', 'label']
    """
    rng = np.random.default_rng(seed)
    salary = rng.uniform(20e3, 150e3, rows)
    zipcode = rng.integers(0, 9, rows)
    x: Columns = {
        "salary": salary,
        "commission": np.where(salary >= 75e3, 0.0, rng.uniform(10e3, 75e3, rows)),
        "age": rng.integers(20, 81, rows).astype(float),
        "hvalue": (8 - zipcode) * 100e3 * rng.uniform(0.5, 1.5, rows),
        "hyears": rng.integers(1, 31, rows).astype(float),
        "loan": rng.uniform(0, 500e3, rows),
    }
    elevel, car = rng.integers(0, 5, rows), rng.integers(1, 21, rows)
    label = _label(concept, x, elevel)
    _move(x, zipcode, noise, rng)
    texts = {"elevel": elevel, "car": car, "zipcode": zipcode}
    return pa.record_batch(
        {**x, **{k: v.astype(str) for k, v in texts.items()}, "label": label.astype(np.int64)}
    )


def _move(x: Columns, zipcode: NDArray[Any], noise: float, rng: np.random.Generator) -> None:
    """Move numbers by up to `noise` of their range, and not out of it."""
    for name, (low, high) in RANGES.items():
        moved = x[name] + (high - low) * noise * rng.uniform(-1, 1, len(zipcode))
        moved = np.clip(moved, low, high)
        whole = name in ("age", "hyears")
        x[name] = np.where(x[name] > 0, np.round(moved) if whole else moved, x[name])
    moved = x["hvalue"] + 135e3 * noise * rng.uniform(-1, 1, len(zipcode))
    x["hvalue"] = np.clip(moved, 0, (9 - zipcode) * 100e3)


def _label(concept: int, x: Columns, elevel: NDArray[Any]) -> NDArray[Any]:
    """The group that a rule puts each applicant into."""
    age, salary, loan = x["age"], x["salary"], x["loan"]
    total = salary + x["commission"]
    if concept == 0:
        return (age < 40) | (age >= 60)
    if concept in (1, 5):
        return _bands(age, total if concept == 5 else salary, ((50, 100), (75, 125), (25, 75)))
    if concept == 2:
        return _schooled(age, elevel)
    if concept == 3:
        bands = ((25, 75), (50, 100)), ((50, 100), (75, 125)), ((50, 100), (25, 75))
        schooled = _schooled(age, elevel)
        yes = _bands(age, salary, (bands[0][0], bands[1][0], bands[2][0]))
        no = _bands(age, salary, (bands[0][1], bands[1][1], bands[2][1]))
        return np.where(schooled, yes, no)
    if concept == 4:
        rich = _bands(age, salary, ((50, 100), (75, 125), (25, 75)))
        yes = _bands(age, loan, ((100, 300), (200, 400), (300, 500)))
        no = _bands(age, loan, ((200, 400), (300, 500), (100, 300)))
        return np.where(rich, yes, no)
    return _indebted(concept, x, elevel)


def _indebted(concept: int, x: Columns, elevel: NDArray[Any]) -> NDArray[Any]:
    """Whether nothing is left after the costs that rules 6 to 9 count."""
    left = 2 / 3 * (x["salary"] + x["commission"]) - (20e3 if concept in (6, 7) else 10e3)
    if concept in (6, 8):
        left = left - x["loan"] / 5
    if concept in (7, 8, 9):
        left = left - 5e3 * elevel
    if concept == 9:
        left = left + x["hvalue"] * np.maximum(x["hyears"] - 20, 0) / 10 / 5
    return left <= 1


def _schooled(age: NDArray[Any], elevel: NDArray[Any]) -> NDArray[Any]:
    young, old = age < 40, age >= 60
    middle = ~young & ~old
    return (young & (elevel <= 1)) | (middle & (elevel >= 1) & (elevel <= 3)) | (old & (elevel >= 2))


def _bands(age: NDArray[Any], value: NDArray[Any], bands: tuple[tuple[int, int], ...]) -> NDArray[Any]:
    """Whether a value lies in the band, in thousands, of the age's third."""
    third = (age >= 40).astype(int) + (age >= 60)
    low, high = np.array(bands, float).T[:, third] * 1000
    inside: NDArray[Any] = (low <= value) & (value <= high)
    return inside

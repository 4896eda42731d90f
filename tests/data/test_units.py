from __future__ import annotations

import numpy as np
import pytest

from talkoot.data.profile import Column
from talkoot.data.units import FACTORS, distance, other_units
from talkoot.data.views import View

RNG = np.random.default_rng(0)


def view(values: np.ndarray) -> View:
    column = Column()
    column.add(values)
    return View(kind="number", rows=len(values), grid=column.leaves("0")["0.grid"])


def heights(rows: int = 400) -> np.ndarray:
    return RNG.normal(170, 10, rows)


@pytest.mark.parametrize("factor", FACTORS)
def test_every_known_factor_is_found_at_the_node_that_stands_alone(factor: float) -> None:
    views = {"a": view(heights()), "b": view(heights(300) / factor), "c": view(heights(200))}
    assert other_units(views) == {"b": (FACTORS[factor], ["a", "c"])}


def test_of_two_nodes_the_smaller_is_named() -> None:
    assert list(other_units({"a": view(heights(90) * 100), "b": view(heights(400))})) == ["a"]
    assert list(other_units({"a": view(heights(400) * 100), "b": view(heights(90))})) == ["b"]


def test_degrees() -> None:
    celsius = view(RNG.normal(37, 0.7, 300))
    odd = other_units({"a": celsius, "b": view(RNG.normal(37, 0.7, 200) * 1.8 + 32)})
    assert odd == {"b": ("degrees Celsius and Fahrenheit", ["a"])}


def test_what_is_merely_larger_is_no_other_unit() -> None:
    older = {"a": view(RNG.normal(30, 8, 500)), "b": view(RNG.normal(61, 8, 500))}
    richer = {"a": view(RNG.lognormal(10, 1, 500)), "b": view(RNG.lognormal(10.9, 1, 500))}
    few = {"a": view(RNG.integers(0, 3, 500)), "b": view(RNG.integers(0, 3, 500) * 10)}
    small = {"a": view(heights(10)), "b": view(heights(10) * 100)}
    assert [other_units(views) for views in (older, richer, few, small)] == [{}, {}, {}, {}]


def test_the_distance_is_that_of_kolmogorov_and_smirnov() -> None:
    a, b = np.arange(100.0), np.arange(100.0) + 30
    assert distance(a, b) == pytest.approx(0.3)
    assert distance(a, a) == 0

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from talkoot.data.contract.checks.quantities import BARE, CONVERSIONS, QUANTITIES, Conversion, quantities_of
from talkoot.data.contract.checks.units import distance, other_units
from talkoot.data.contract.column import Column
from talkoot.data.contract.node_profile import ColumnProfile


def view(values: np.ndarray) -> ColumnProfile:
    column = Column()
    column.add(values)
    return ColumnProfile(kind="number", rows=len(values), grid=column.leaves("0")["0.grid"])


def normal(mean: float, spread: float, rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, rows]).normal(mean, spread, rows)


def found(name: str, **nodes: np.ndarray) -> dict[str, tuple[str, list[str]]]:
    odd = other_units(name, {node: view(values) for node, values in nodes.items()})
    return {node: (other.meaning, other.against) for node, other in odd.items()}


def middle(way: Conversion) -> float:
    """A usual median in the first unit of a conversion."""
    assert way.quantity is not None
    low, high = way.quantity.typical or (100, 100)
    factor, offset = way.quantity.units[way.units[0]]
    return (float((low * high) ** 0.5 if low > 0 else 30) - offset) / factor


def test_every_unit_is_found_by_the_columns_name_though_people_differ() -> None:
    for way in CONVERSIONS:
        assert way.quantity is not None
        center = middle(way)
        narrow = way.offset or way.factor < 1.5  # such are told apart only where people hardly vary
        spread = (0.02 if narrow else 0.15) * abs(center)
        here, there = normal(center, spread, 400), normal(center + 0.1 * spread, spread, 300, seed=1)
        odd = found(way.quantity.words.split()[0], a=here, b=there * way.factor + way.offset)
        assert list(odd) == ["b"], way
        assert all(unit in odd["b"][0] for unit in way.units), (way, odd)


def test_bare_factors_are_found_in_columns_of_any_name_at_the_node_that_stands_alone() -> None:
    for way in BARE:
        rows = normal(1e6, 1e5, 900)
        odd = found("z", a=rows[:400], b=rows[400:700] / way.factor, c=rows[700:])
        assert list(odd) == ["b"], way
        assert way.how in odd["b"][0]
        assert odd["b"][1] == ["a", "c"]


@pytest.mark.parametrize("mean", [68, 75, 82])
def test_pounds_are_no_fahrenheit(mean: float) -> None:
    kilograms, pounds = normal(75, 15, 400), normal(mean, 16, 300) / 0.45359237
    assert found("weight", a=kilograms, b=pounds) == {
        "b": ("pounds here and kilograms there (a factor of 2.205)", ["a"])
    }


def test_where_the_name_says_nothing_all_units_that_fit_are_named() -> None:
    odd = found("x", a=normal(75, 15, 400), b=normal(82, 16, 300) / 0.45359237)
    assert odd["b"][0] == (
        "centimetres here and inches there (a factor of 2.54), or "
        "pounds here and kilograms there (a factor of 2.205)"
    )


def test_degrees_are_known_by_how_large_they_are() -> None:
    celsius = normal(37, 0.7, 300)
    for name in ("x", "temp"):
        odd = found(name, a=celsius, b=normal(37, 0.7, 200) * 1.8 + 32)
        assert odd == {"b": ("degrees Fahrenheit here and degrees Celsius there (times 1.8, +32)", ["a"])}


def test_miles_are_noted_where_the_columns_name_and_a_perfect_fit_speak_for_them() -> None:
    km, also = (np.random.default_rng(seed).gamma(2, 20, 1500) for seed in (0, 1))
    odd = other_units("distance", {"a": view(km), "b": view(also[:1000] / 1.609344)})
    assert odd["b"].meaning == "miles here and kilometres there (a factor of 1.609)"
    assert not odd["b"].sure
    assert other_units("x", {"a": view(km), "b": view(also[:1000] / 1.609344)}) == {}


def test_logarithms() -> None:
    income = np.random.default_rng(0).lognormal(10, 1, 400)
    odd = found("income", a=income, b=np.log(income[:300]))
    assert odd == {"b": ("natural logarithms here and the values themselves there (a logarithm)", ["a"])}


def test_zeros_and_signs_do_not_hide_a_factor() -> None:
    rng = np.random.default_rng(0)
    bills = rng.lognormal(8, 1, 900) * (rng.random(900) < 0.4)
    assert "cents here" in found("bill", a=bills[:500], b=bills[500:] * 100)["b"][0]
    change = rng.normal(0, 1, 900)
    assert found("z", a=change[:500], b=change[500:] * 1000)["b"] == (
        "a factor of 1000 (kilo or milli)",
        ["a"],
    )


def test_three_units_at_three_nodes_are_each_told() -> None:
    cm, inches, metres = normal(170, 10, 400), normal(170, 10, 300) / 2.54, normal(170, 10, 200) / 100
    odd = found("height", a=cm, b=inches, c=metres)
    assert set(odd) == {"b", "c"}
    assert odd["b"] == ("inches here and centimetres there (a factor of 2.54)", ["a"])
    assert "metres here" in odd["c"][0]


def test_of_two_nodes_the_smaller_is_named() -> None:
    assert list(found("h", a=normal(170, 10, 90) * 100, b=normal(170, 10, 400))) == ["a"]
    assert list(found("h", a=normal(170, 10, 400) * 100, b=normal(170, 10, 90))) == ["b"]


def test_what_is_merely_larger_is_no_other_unit() -> None:
    rng = np.random.default_rng(0)
    older = {"a": normal(30, 8, 500), "b": normal(61, 8, 500)}
    richer = {"a": rng.lognormal(10, 1, 500), "b": rng.lognormal(10.9, 1, 500)}
    few = {"a": rng.integers(0, 3, 500), "b": rng.integers(0, 3, 500) * 10}
    small = {"a": normal(170, 10, 10), "b": normal(170, 10, 10) * 100}
    for name in ("age", "x", "weight", "income", "distance"):
        assert [found(name, **nodes) for nodes in (older, richer, few, small)] == [{}, {}, {}, {}]


def test_no_alarm_where_the_same_unit_is_measured_in_people_that_differ() -> None:
    """Means up to one and a half standard deviations apart, spreads up to a half wider."""
    rng, alarms = np.random.default_rng(0), []
    for quantity in QUANTITIES:
        for shift, scale in ((0.0, 1.0), (0.5, 1.2), (1.0, 1.5), (1.5, 1.0)):
            low, high = quantity.typical or (10, 1000)
            center = (max(low, 0.01) * high) ** 0.5
            here = rng.normal(center, center / 6, 300)
            there = rng.normal(center * (1 + shift / 6), center / 6 * scale, 200)
            alarms += list(found(quantity.words.split()[0], a=here, b=there))
    assert alarms == [], alarms


def test_words_are_found_in_names_as_people_write_them() -> None:
    said = {"weight": ["Weight_kg", "bodyWeight", "wt", "BODYWEIGHT"], "temperature": ["temp.max", "TempC"]}
    for word, names in said.items():
        assert all(quantities_of(name)[0].words.startswith(word) for name in names)
    assert not any(map(quantities_of, ("x", "0", "attempt", "wtf", "", "größe")))


def test_no_two_units_of_a_quantity_are_the_same() -> None:
    for quantity in QUANTITIES:
        for (a, one), (b, other) in combinations(quantity.units.items(), 2):
            assert a != b
            assert one != other
        assert (1, 0) in quantity.units.values()


@pytest.mark.parametrize(
    ("name", "a", "b", "factor", "offset"),
    [  # NIST SP 811, the AMA's table, and a fixed point of each scale
        ("weight", "pounds", "kilograms", 0.45359237, 0),
        ("temp", "degrees Celsius", "degrees Fahrenheit", 1.8, 32),
        ("glucose", "mg/dl", "mmol/l", 0.0555, 0),
        ("creatinine", "mg/dl", "umol/l", 88.4, 0),
        ("bilirubin", "mg/dl", "umol/l", 17.1, 0),
        ("cholesterol", "mg/dl", "mmol/l", 0.0259, 0),
        ("triglycerides", "mg/dl", "mmol/l", 0.0113, 0),
        ("urea", "mg/dl", "mmol/l", 0.1665, 0),
        ("bun", "mg/dl", "mmol/l", 0.357, 0),
        ("calcium", "mg/dl", "mmol/l", 0.25, 0),
        ("uric", "mg/dl", "umol/l", 59.48, 0),
        ("hgb", "g/dl", "mmol/l", 0.6206, 0),
        ("hba1c", "percent (NGSP)", "mmol/mol (IFCC)", 10.93, -23.5),
    ],
)
def test_factors_are_those_of_the_tables(name: str, a: str, b: str, factor: float, offset: float) -> None:
    units: Any = quantities_of(name)[0].units
    (one, start), (other, end) = units[a], units[b]
    assert (one / other, (start - end) / other) == pytest.approx((factor, offset), rel=5e-3)


def test_the_distance_is_that_of_kolmogorov_and_smirnov() -> None:
    a, b = np.arange(100.0), np.arange(100.0) + 30
    assert distance(a, b) == pytest.approx(0.3)
    assert distance(a, a) == 0

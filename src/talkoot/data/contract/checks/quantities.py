"""Quantities that columns measure: names, units and typical values.

Factors: NIST Special Publication 811 (2008), appendix B; laboratory values: AMA Manual of Style, table of SI
conversions; HbA1c: the IFCC-NGSP master equation (Hoelzel et al., Clinical Chemistry 50, 2004).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import final

MAX_APART = 3  # positions between two units of a list that may be confused
MIN_INNER_WORD = 6  # letters from which a word is also searched inside others, as "weight" in "bodyweight"


@final
@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """A quantity that columns record in one of several units."""

    words: str  # usual names of its columns
    # a generous range of a column's median, in the unit whose factor is 1; None where it may be anything, so
    # that only the column's name identifies it
    typical: tuple[float, float] | None
    # (factor, offset) of each unit: factor * value + offset is in the unit whose factor is 1
    units: Mapping[str, tuple[float, float]]


def _scaled(words: str, typical: tuple[float, float] | None, **units: float) -> Quantity:
    return Quantity(words, typical, {name.replace("_", " "): (factor, 0.0) for name, factor in units.items()})


def _in_blood(words: str, typical: tuple[float, float], per_dl: float, si: str = "mmol/l") -> Quantity:
    """A concentration in mg/dl and in `si`; one `si` is `per_dl` mg/dl."""
    return Quantity(words, typical, {"mg/dl": (1.0, 0.0), si: (per_dl, 0.0)})


QUANTITIES = (
    _scaled("weight wt bodyweight mass", (2, 150), kilograms=1, pounds=0.45359237, grams=0.001),
    _scaled(
        "height ht stature", (40, 210), metres=100, inches=2.54, centimetres=1, feet=30.48, millimetres=0.1
    ),
    _scaled("length waist hip girth circumference", (1, 210), centimetres=1, inches=2.54, millimetres=0.1),
    Quantity(
        "temperature temp fever",
        (-40, 50),
        {"degrees Celsius": (1, 0), "degrees Fahrenheit": (5 / 9, -160 / 9), "kelvin": (1, -273.15)},
    ),
    _scaled(
        "distance dist mileage km miles elevation altitude depth",
        None,
        miles=1.609344,
        kilometres=1,
        metres=0.001,
        feet=0.0003048,
    ),
    _scaled("speed velocity wind", None, **{"m/s": 1, "km/h": 1 / 3.6, "mph": 0.44704, "knots": 0.514444}),
    _scaled("volume litres liters gallons", None, litres=1, millilitres=0.001, US_gallons=3.785412),
    _scaled(
        "area surface acres", None, square_metres=1, square_feet=0.09290304, hectares=1e4, acres=4046.856
    ),
    _scaled("energy calories kcal intake", None, kilocalories=1, kilojoules=1 / 4.184),
    _scaled("dose drug ounces", None, grams=1, milligrams=0.001, micrograms=1e-6, ounces=28.349523),
    _scaled("pressure bp sbp dbp trestbps systolic diastolic map", (40, 220), mmHg=1, kPa=7.500617),
    _scaled("barometer slp airpressure", (850, 1085), hPa=1, mmHg=1.333224, inHg=33.86389, kPa=10),
    _scaled("age", (0.5, 95), years=1, months=1 / 12, days=1 / 365.25),
    _scaled(
        "time duration delay latency wait stay los survival followup elapsed",
        None,
        microseconds=1e-6,
        milliseconds=0.001,
        seconds=1,
        minutes=60,
        hours=3600,
        days=86400,
        weeks=604800,
        months=2629800,
        years=31557600,
    ),
    _scaled(
        "amount price cost income salary wage balance revenue loan credit charge payment bill fare",
        None,
        **{"cents": 0.01, "whole units of money": 1, "thousands": 1e3, "millions": 1e6},
    ),
    _scaled(
        "share percent percentage pct fraction saturation spo2 probability",
        (0.001, 1),
        shares=1,
        percent=0.01,
    ),
    _in_blood("glucose gluc glu fbg sugar", (50, 400), 18.016),
    _in_blood("cholesterol chol ldl hdl", (25, 350), 38.67),
    _in_blood("triglycerides triglyceride trig tg", (30, 500), 88.57),
    _in_blood("creatinine crea creat scr", (0.3, 5), 0.0113096, "umol/l"),
    _in_blood("bilirubin bili", (0.1, 10), 0.0584795, "umol/l"),
    _in_blood("urea", (8, 150), 6.006),
    _in_blood("bun", (4, 80), 2.801),
    _in_blood("calcium", (6, 14), 4.008),
    _in_blood("uric urate", (2, 12), 0.0168124, "umol/l"),
    _scaled("haemoglobin hemoglobin hgb hb", (6, 19), **{"g/dl": 1, "g/l": 0.1, "mmol/l": 1.6114}),
    _scaled("albumin alb protein", (1, 9), **{"g/dl": 1, "g/l": 0.1}),
    Quantity("hba1c a1c", (4, 14), {"percent (NGSP)": (1, 0), "mmol/mol (IFCC)": (0.09148, 2.152)}),
    _scaled(
        "log logarithm",
        None,
        natural_logarithms=1,
        logarithms_to_base_10=2.302585,
        logarithms_to_base_2=0.693147,
    ),
)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Conversion:
    """From one unit to another: ``factor * value + offset``."""

    units: tuple[str, str]  # of the values, and that they are converted to
    factor: float
    offset: float = 0.0
    quantity: Quantity | None = None  # None for a factor that may apply to any column
    meaning: str = ""  # units between which such a factor is usual

    @property
    def how(self) -> str:
        """The conversion in words."""
        if self.offset:
            return f"times {self.factor:.4g}, {self.offset:+.4g}"
        return f"a factor of {self.factor:.4g}{f' ({self.meaning})' if self.meaning else ''}"

    def usual(self, median: float, unit: int) -> bool:
        """Whether this median, in the first unit (0) or the second (1), is typical of the quantity."""
        if self.quantity is None or self.quantity.typical is None:
            return False
        factor, offset = self.quantity.units[self.units[unit]]
        low, high = self.quantity.typical
        return low <= factor * median + offset <= high


def _conversions() -> tuple[Conversion, ...]:
    found = []
    for quantity in QUANTITIES:
        order = list(quantity.units)
        for (a, (factor, offset)), (b, (other, start)) in permutations(quantity.units.items(), 2):
            conversion = Conversion((a, b), factor / other, (offset - start) / other, quantity)
            near = abs(order.index(a) - order.index(b)) <= MAX_APART
            if near and (conversion.factor > 1 or conversion.offset):
                found.append(conversion)
    return tuple(found)


CONVERSIONS = _conversions()
# Factors that may apply to a column of any name, with the units between which they are usual.
BARE = tuple(
    Conversion(("", ""), factor, meaning=meaning)
    for factor, meaning in {
        10.0: "",
        100.0: "percent and shares, or metres and centimetres",
        1000.0: "kilo or milli",
        1e6: "millions",
        12.0: "years and months, or feet and inches",
        24.0: "days and hours",
        60.0: "hours and minutes, or minutes and seconds",
        1.609344: "miles and kilometres",
        3.28084: "metres and feet",
        3.6: "m/s and km/h",
        4.184: "kilocalories and kilojoules",
        28.349523: "ounces and grams",
    }.items()
)


def quantities_of(column: str) -> tuple[Quantity, ...]:
    """The quantities that a column's name mentions.

    >>> [quantity.words for quantity in quantities_of("TotalCholesterol_mg")]
    ['cholesterol chol ldl hdl']
    """
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", column)
    whole = column.casefold()
    tokens = {whole, *map(str.casefold, parts), *re.split(r"[^a-z0-9]+", whole)}
    return tuple(
        q
        for q in QUANTITIES
        if any(w in tokens or (len(w) >= MIN_INNER_WORD and w in whole) for w in q.words.split())
    )

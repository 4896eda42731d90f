"""Small pieces of SVG: scales, ticks, text, bands."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from talkoot.watch.markup import Child, Safe, join, tag

Scale = Callable[[float], float]


@final
@dataclass(frozen=True, slots=True)
class Picture:
    """Shapes with a size and a label."""

    width: float  # in pixels, before scaling
    height: float
    label: str  # what it shows, for screen readers
    shapes: Safe  # markup of the shapes

    def draw(self) -> Safe:
        """An SVG that scales to the space around it."""
        size = f"0 0 {self.width:.0f} {self.height:.0f}"
        return tag(
            "svg",
            self.shapes,
            viewBox=size,
            role="img",
            aria_label=self.label,
            xmlns="http://www.w3.org/2000/svg",
        )

    def at(self, x: float, y: float) -> Safe:
        """The shapes as a part of a larger picture."""
        return tag("g", self.shapes, transform=f"translate({x:.0f} {y:.0f})")


def picture(width: float, height: float, label: str, *shapes: Child) -> Picture:
    """A picture of shapes."""
    return Picture(width, height, label, join(*shapes))


def text(x: float, y: float, *words: Child, class_: str = "", anchor: str = "start") -> Safe:
    """Text whose middle line is at `y`; `anchor` is start, middle or end."""
    return tag(
        "text",
        *words,
        x=x,
        y=y,
        dy="0.35em",
        class_=class_ or None,
        text_anchor=anchor if anchor != "start" else None,
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Safe:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def dot(x: float, y: float, r: float, class_: str, title: str | None = None) -> Safe:
    """A disc, with a tooltip if it has a title."""
    return tag("circle", tag("title", title) if title else None, cx=x, cy=y, r=r, class_=class_)


def band(x1: float, y1: float, x2: float, y2: float, thick: float, class_: str) -> Safe:
    """A curved band of constant thickness from one height to another.

    >>> band(0, 10, 100, 30, 4, "flow")
    '<path d="M0 8C50 8 50 28 100 28V32C50 32 50 12 0 12Z" class="flow"></path>'
    """
    middle, half = (x1 + x2) / 2, thick / 2
    points = (x1, y1 - half, middle, y1 - half, middle, y2 - half, x2, y2 - half, y2 + half)
    back = (middle, y2 + half, middle, y1 + half, x1, y1 + half)
    return tag(
        "path", d=_fill("M{} {}C{} {} {} {} {} {}V{}C{} {} {} {} {} {}Z", (*points, *back)), class_=class_
    )


def polyline(points: Sequence[tuple[float, float]], class_: str) -> Safe:
    """A line through points."""
    return tag("polyline", points=" ".join(_fill("{},{}", p) for p in points), class_=class_)


def _fill(pattern: str, numbers: Sequence[float]) -> str:
    return pattern.format(*(f"{n:.2f}".rstrip("0").rstrip(".") for n in numbers))


def linear(low: float, high: float, start: float, stop: float) -> Scale:
    """Maps numbers from [low, high] to [start, stop].

    >>> linear(0, 10, 100, 200)(5)
    150.0
    """
    span = (high - low) or 1.0
    return lambda value: start + (stop - start) * (value - low) / span


def logarithmic(low: float, high: float, start: float, stop: float) -> Scale:
    """Maps positive numbers by their logarithm."""
    straight = linear(math.log10(low), math.log10(high), start, stop)
    return lambda value: straight(math.log10(value))


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """About `about` round numbers within [low, high].

    >>> ticks(0.07, 0.79)
    [0.2, 0.4, 0.6]
    """
    raw = (high - low) / about
    if not raw > sys.float_info.min:  # too near to each other for a number between them
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = min((power * m for m in (1, 2, 5, 10)), key=lambda s: abs(math.log(s / raw)))
    first = math.ceil(low / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, math.floor(high / step + 1e-9) + 1)]

"""The pictures of a report: nodes as bands that join in one model, and curves of metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

from talkoot.watch import svg, words
from talkoot.watch.markup import Safe, join, tag

WIDTH = 880.0
MAX_NODES = 40  # that are drawn one by one


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NodeBand:
    """A node of the picture: its rows, its working time in seconds, and its failure, if any."""

    name: str
    rows: int | None
    seconds: float | None
    trouble: str = ""


def flow(bands: Sequence[NodeBand], result: str, lines: Sequence[str]) -> svg.Picture:
    """Nodes as bands that join in one model, whose thickness is proportional to the rows.

    `result` is what they make, such as "one model"; `lines` are text below it.
    """
    bands = _at_most(bands)
    step = 40.0 if len(bands) <= 16 else 24.0
    most = max((s.rows or 0 for s in bands), default=0) or 1
    thick = [max(1.5, (step - 12) * (s.rows or 0) / most) for s in bands]
    top, tall = 34.0, step * len(bands)
    fan = _band_ends(thick, top + tall / 2, gap=2.0)
    heads = [("node", 0, "start"), ("rows", 250, "end")]
    if any(s.seconds is not None for s in bands):
        heads.append(("at work", 330, "end"))
    two_lines = step > 30
    rows = [_node_row(s, top + step * (i + 0.5), thick[i], fan[i], two_lines) for i, s in enumerate(bands)]
    low, high = fan[0] - thick[0] / 2, fan[-1] + thick[-1] / 2
    middle, wide = (low + high) / 2, 20.0 * len(lines)
    height = max(top + tall, middle + wide / 2 + 24) + 6
    return svg.picture(
        WIDTH,
        height,
        f"{len(bands)} nodes make {result}",
        *(svg.text(x, 10, word, class_="head", anchor=anchor) for word, x, anchor in heads),
        *rows,
        tag("rect", x=640.0, y=low, width=6.0, height=high - low, rx=2.0, class_="together"),
        svg.text(660, middle - wide / 2, result, class_="strong"),
        *(
            svg.text(660, middle - wide / 2 + 20 * (i + 1), text, class_="muted")
            for i, text in enumerate(lines)
        ),
    )


def flow_on_phone(bands: Sequence[NodeBand], result: str, lines: Sequence[str]) -> svg.Picture:
    """`flow` for a narrow screen: numbers below their node's name, the model at the bottom."""
    bands, step, wide = _at_most(bands), 52.0, 360.0
    most = max((s.rows or 0 for s in bands), default=0) or 1
    thick = [max(1.5, (step - 24) * (s.rows or 0) / most) for s in bands]
    foot = step * len(bands)
    fan = _band_ends(thick, foot / 2, gap=2.0)
    rows = []
    for i, node in enumerate(bands):
        y = step * (i + 0.5)
        count = "? rows" if node.rows is None else words.many(node.rows, "row")
        spent = "" if node.seconds is None else f", {words.duration(node.seconds)} at work"
        kind = "flow trouble" if node.trouble else "flow" if node.rows else "flow empty"
        rows += [
            svg.band(190, y, 352, fan[i], thick[i], kind),
            svg.text(0, y - 9, tag("title", node.name), words.short(node.name, 24), class_="name"),
            svg.text(0, y + 9, words.short(node.trouble, 34), class_="warn small")
            if node.trouble
            else svg.text(0, y + 9, count + spent, class_="muted small"),
        ]
    low, high = fan[0] - thick[0] / 2, fan[-1] + thick[-1] / 2
    return svg.picture(
        wide,
        foot + 20 * len(lines) + 26,
        f"{len(bands)} nodes make {result}",
        *rows,
        tag("rect", x=352.0, y=low, width=6.0, height=high - low, rx=2.0, class_="together"),
        svg.text(wide, foot + 12, result, class_="strong", anchor="end"),
        *(
            svg.text(wide, foot + 12 + 20 * (i + 1), text, class_="muted", anchor="end")
            for i, text in enumerate(lines)
        ),
    )


def _at_most(bands: Sequence[NodeBand]) -> list[NodeBand]:
    """At most MAX_NODES bands: those with trouble and the largest; the others as one."""
    if len(bands) <= MAX_NODES:
        return list(bands)
    order = sorted(bands, key=lambda s: (not s.trouble, -(s.rows or 0)))
    rest = order[MAX_NODES - 1 :]
    shown = {s.name for s in order[: MAX_NODES - 1]}
    many = NodeBand(
        name=f"{words.count(len(rest))} more nodes", rows=sum(s.rows or 0 for s in rest), seconds=None
    )
    return [*(s for s in bands if s.name in shown), many]


def _band_ends(thick: Sequence[float], middle: float, gap: float) -> list[float]:
    """Where the bands end, one below the other around `middle`."""
    at = middle - (sum(thick) + gap * (len(thick) - 1)) / 2
    found = []
    for width in thick:
        found.append(at + width / 2)
        at += width + gap
    return found


def _node_row(node: NodeBand, y: float, thick: float, end: float, two_lines: bool) -> Safe:
    rows = "?" if node.rows is None else words.count(node.rows)
    seconds = "" if node.seconds is None else words.duration(node.seconds)
    kind = "flow trouble" if node.trouble else "flow" if node.rows else "flow empty"
    trouble = svg.text(0, y + 15, words.short(node.trouble, 52), class_="warn small")
    name = "name warn" if node.trouble and not two_lines else "name"
    return join(
        svg.band(350, y, 640, end, thick, kind),
        svg.text(0, y, tag("title", node.name), words.short(node.name, 24), class_=name),
        svg.text(250, y, rows, anchor="end", class_="figure"),
        svg.text(330, y, seconds, anchor="end", class_="figure muted"),
        trouble if node.trouble and two_lines else None,
    )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An event at a place of a curve: a lost worker, or (not bad) a new group of ranks."""

    at: float
    text: str
    bad: bool


def curve(
    name: str,
    series: Mapping[float, float],
    *,
    say: Callable[[float], str] = "round {:.0f}".format,
    scale: Literal["by range", "linear", "from zero"] = "by range",
    marks: Sequence[Mark] = (),
) -> svg.Picture:
    """One metric over the rounds, the steps or the time: `series` maps these, which `say` formats, to values.

    By range, the scale is logarithmic where the values differ by more than a factor of 50.
    """
    wide, tall = 430.0, 190.0
    places, values = list(series), list(series.values())
    low, high = min(values), max(values)
    steep = scale == "by range" and low > 0 and high / low > 50
    low = min(low, 0.0) if scale == "from zero" else low
    pad = 0.0 if steep else 0.06 * (high - low)
    x = svg.linear(places[0], places[-1], 58, wide - 70)
    y = (svg.logarithmic if steep else svg.linear)(low - pad * (low != 0), high + pad, tall - 30, 34)
    points = [(x(place), y(value)) for place, value in series.items()]
    dots = zip(series, points, strict=True) if len(points) <= 40 else ()
    levels = _levels(low, high, steep)
    return svg.picture(
        wide,
        tall,
        f"{name} from {say(places[0])} to {say(places[-1])}",
        svg.text(0, 10, name, class_="strong"),
        svg.text(wide - 70, 10, "logarithmic scale", class_="muted small", anchor="end") if steep else None,
        *(
            join(
                svg.line(58, y(v), wide - 70, y(v), "hair"),
                svg.text(50, y(v), text, class_="axis", anchor="end"),
            )
            for v, text in zip(levels, words.even(levels), strict=True)
        ),
        *(_mark(m, x(m.at), tall - 30) for m in marks if places[0] <= m.at <= places[-1]),
        svg.polyline(points, "curve"),
        *(svg.dot(*at, 2.6, "together", f"{say(p)}: {words.number(series[p])}") for p, at in dots),
        svg.text(points[-1][0] + 8, points[-1][1], words.number(values[-1]), class_="strong figure"),
        *(svg.text(x(p), tall - 12, say(p), class_="axis", anchor="middle") for p in (places[0], places[-1])),
    )


def _mark(mark: Mark, x: float, foot: float) -> Safe:
    kind = "event trouble" if mark.bad else "event"
    return tag("g", tag("title", mark.text), svg.line(x, 28, x, foot, kind), svg.dot(x, 28, 3, kind))


def _levels(low: float, high: float, steep: bool) -> list[float]:
    if not steep:
        return svg.ticks(low, high, 4)
    powers = [10.0**p for p in range(-300, 300) if low <= 10.0**p <= high]
    return powers[:: max(1, len(powers) // 4)]

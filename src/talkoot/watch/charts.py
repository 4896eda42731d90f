"""The pictures of a report: nodes that flow into one model, curves of rounds, scores with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

from talkoot.watch import svg, words
from talkoot.watch.markup import Safe, join, tag

WIDTH = 880.0
MOST = 40  # nodes that are drawn one by one


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A node as it is drawn: its rows, its seconds at work, and what went wrong, if anything did."""

    name: str
    rows: int | None
    seconds: float | None
    trouble: str = ""


def flow(streams: Sequence[Stream], result: str, lines: Sequence[str]) -> svg.Picture:
    """Nodes as bands, as thick as their rows are many, that run into one model.

    Args:
        streams: the nodes.
        result: what they make, such as "one model".
        lines: what to say below it.
    """
    streams = _folded(streams)
    step = 40.0 if len(streams) <= 16 else 24.0
    most = max((s.rows or 0 for s in streams), default=0) or 1
    thick = [max(1.5, (step - 12) * (s.rows or 0) / most) for s in streams]
    top, tall = 34.0, step * len(streams)
    fan = _fan(thick, top + tall / 2, gap=2.0)
    heads = [("node", 0, "start"), ("rows", 250, "end")]
    if any(s.seconds is not None for s in streams):
        heads.append(("at work", 330, "end"))
    room = step > 30  # for a second line below a name
    rows = [_stream(s, top + step * (i + 0.5), thick[i], fan[i], room) for i, s in enumerate(streams)]
    low, high = fan[0] - thick[0] / 2, fan[-1] + thick[-1] / 2
    middle, wide = (low + high) / 2, 20.0 * len(lines)
    height = max(top + tall, middle + wide / 2 + 24) + 6
    return svg.picture(
        WIDTH,
        height,
        f"{len(streams)} nodes make {result}",
        *(svg.text(x, 10, word, class_="head", anchor=anchor) for word, x, anchor in heads),
        *rows,
        tag("rect", x=640.0, y=low, width=6.0, height=high - low, rx=2.0, class_="together"),
        svg.text(660, middle - wide / 2, result, class_="strong"),
        *(
            svg.text(660, middle - wide / 2 + 20 * (i + 1), said, class_="muted")
            for i, said in enumerate(lines)
        ),
    )


def flow_on_phone(streams: Sequence[Stream], result: str, lines: Sequence[str]) -> svg.Picture:
    """The same as `flow` for a narrow screen: figures stand below their node's name, the model at the foot.

    Args:
        streams: the nodes.
        result: what they make, such as "one model".
        lines: what to say below it.
    """
    streams, step, wide = _folded(streams), 52.0, 360.0
    most = max((s.rows or 0 for s in streams), default=0) or 1
    thick = [max(1.5, (step - 24) * (s.rows or 0) / most) for s in streams]
    foot = step * len(streams)
    fan = _fan(thick, foot / 2, gap=2.0)
    rows = []
    for i, stream in enumerate(streams):
        y = step * (i + 0.5)
        count = "? rows" if stream.rows is None else words.many(stream.rows, "row")
        spent = "" if stream.seconds is None else f", {words.duration(stream.seconds)} at work"
        kind = "flow trouble" if stream.trouble else "flow" if stream.rows else "flow empty"
        rows += [
            svg.band(190, y, 352, fan[i], thick[i], kind),
            svg.text(0, y - 9, tag("title", stream.name), words.short(stream.name, 24), class_="name"),
            svg.text(0, y + 9, words.short(stream.trouble, 34), class_="warn small")
            if stream.trouble
            else svg.text(0, y + 9, count + spent, class_="muted small"),
        ]
    low, high = fan[0] - thick[0] / 2, fan[-1] + thick[-1] / 2
    return svg.picture(
        wide,
        foot + 20 * len(lines) + 26,
        f"{len(streams)} nodes make {result}",
        *rows,
        tag("rect", x=352.0, y=low, width=6.0, height=high - low, rx=2.0, class_="together"),
        svg.text(wide, foot + 12, result, class_="strong", anchor="end"),
        *(
            svg.text(wide, foot + 12 + 20 * (i + 1), said, class_="muted", anchor="end")
            for i, said in enumerate(lines)
        ),
    )


def _folded(streams: Sequence[Stream]) -> list[Stream]:
    """At most MOST streams: those in trouble and the largest; the others as one."""
    if len(streams) <= MOST:
        return list(streams)
    order = sorted(streams, key=lambda s: (not s.trouble, -(s.rows or 0)))
    rest = order[MOST - 1 :]
    shown = {s.name for s in order[: MOST - 1]}
    many = Stream(
        name=f"{words.count(len(rest))} more nodes", rows=sum(s.rows or 0 for s in rest), seconds=None
    )
    return [*(s for s in streams if s.name in shown), many]


def _fan(thick: Sequence[float], middle: float, gap: float) -> list[float]:
    """Middles of bands that arrive one below the other around `middle`."""
    at = middle - (sum(thick) + gap * (len(thick) - 1)) / 2
    found = []
    for width in thick:
        found.append(at + width / 2)
        at += width + gap
    return found


def _stream(stream: Stream, y: float, thick: float, end: float, room: bool) -> Safe:
    rows = "?" if stream.rows is None else words.count(stream.rows)
    seconds = "" if stream.seconds is None else words.duration(stream.seconds)
    kind = "flow trouble" if stream.trouble else "flow" if stream.rows else "flow empty"
    told = svg.text(0, y + 15, words.short(stream.trouble, 52), class_="warn small")
    name = "name warn" if stream.trouble and not room else "name"
    return join(
        svg.band(350, y, 640, end, thick, kind),
        svg.text(0, y, tag("title", stream.name), words.short(stream.name, 24), class_=name),
        svg.text(250, y, rows, anchor="end", class_="figure"),
        svg.text(330, y, seconds, anchor="end", class_="figure muted"),
        told if stream.trouble and room else None,
    )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened at a place of a curve: a lost worker, or (not bad) a new group."""

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
    """One metric over the rounds, the steps or the time.

    Args:
        name: the metric's.
        series: what it was, by where that was.
        say: a place in words.
        scale: "by range" is logarithmic where the metric falls through orders of magnitude.
        marks: what to mark; those outside of the series are left out.
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
                svg.text(50, y(v), said, class_="axis", anchor="end"),
            )
            for v, said in zip(levels, words.even(levels), strict=True)
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

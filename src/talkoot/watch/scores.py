"""Pictures of scores: alone, together and pooled with their intervals, and who predicts for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from talkoot.watch import svg, words
from talkoot.watch.charts import WIDTH
from talkoot.watch.markup import Safe, join, tag

Interval = Sequence[float]  # (score, low, high)
WAYS = ("alone", "together", "pooled")


def dots(scores: Mapping[str, Mapping[str, Interval]], metric: str) -> Safe:
    """A row for each node: a dot for each way of learning, with its interval as a line.

    Args:
        scores: node -> way -> (score, low, high); nodes without a way lack its dot.
        metric: what the scores are, such as "accuracy".
    """
    ways = [way for way in WAYS if any(way in found for found in scores.values())]
    ends = [v for found in scores.values() for way in found.values() for v in way]
    low, high = min(ends), max(ends)
    pad = 0.04 * ((high - low) or 1.0)
    x = svg.linear(low - pad, high + pad, 170, 590)
    step, top = 16.0 * len(ways) + 10, 40.0
    tall = top + step * len(scores)
    columns = {way: WIDTH - 80.0 * (len(ways) - 1 - i) for i, way in enumerate(ways)}
    shares = _shares(metric)
    return svg.picture(
        WIDTH,
        tall + 34,
        f"{metric} of each node, {words.listed(ways)}",
        *(svg.text(at, 10, way, class_=f"say {way}", anchor="end") for way, at in columns.items()),
        *(
            join(
                svg.line(x(v), top - 8, x(v), tall, "hair"),
                svg.text(x(v), tall + 12, tick(v, shares), class_="axis", anchor="middle"),
            )
            for v in svg.ticks(low, high, 6)
        ),
        svg.text(170, 10, metric, class_="head"),
        *(
            _row(name, found, ways, top + step * i, x, columns, shares)
            for i, (name, found) in enumerate(scores.items())
        ),
    )


def _row(
    name: str,
    found: Mapping[str, Interval],
    ways: Sequence[str],
    top: float,
    x: svg.Scale,
    columns: Mapping[str, float],
    shares: bool,
) -> Safe:
    middle = top + 8.0 * len(ways)
    parts = [svg.text(0, middle, tag("title", name), words.short(name, 20), class_="name")]
    for i, way in enumerate(ways):
        if way in found:
            score, low, high = found[way]
            y = top + 8 + 16.0 * i
            title = f"{name}, {way}: {said(score, shares)} ({said(low, shares)} to {said(high, shares)})"
            parts += [
                svg.line(x(low), y, x(high), y, f"range {way}"),
                svg.dot(x(score), y, 4.5, f"mark {way}", title),
                svg.text(columns[way], middle, said(score, shares), class_="figure", anchor="end"),
            ]
    return join(*parts)


def matrix(scores: Mapping[str, Mapping[str, float]], metric: str, strong: str = "together") -> Safe:
    """Who predicts for whom: a row for each model, a column for the rows it was tested on.

    Args:
        scores: model -> tested on -> score.
        metric: what the scores are.
        strong: the row to set apart.
    """
    places = list(next(iter(scores.values())))
    left, top, step = 180.0, 46.0, 34.0
    wide = min(130.0, (WIDTH - left) / len(places))
    values = [v for row in scores.values() for v in row.values()]
    shade = svg.linear(min(values), max(values), 0.04, 0.5)
    rows = []
    for i, (model, row) in enumerate(scores.items()):
        apart = model == strong
        y = top + step * i + (10 if apart else 0)
        rows.append(svg.text(0, y + 15.5, words.short(model, 22), class_="say together" if apart else "name"))
        rows += [
            _cell(left + wide * j, y, wide - 3, row[place], shade, _shares(metric))
            for j, place in enumerate(places)
        ]
    return svg.picture(
        WIDTH,
        top + step * len(scores) + 14,
        f"{metric} of every model on the rows of every node",
        svg.text(0, 10, "learned from", class_="head"),
        svg.text(left, 10, f"{metric} on unseen rows of", class_="head"),
        *(
            svg.text(left + wide * (j + 0.5) - 1.5, 32, words.short(place, 18), anchor="middle")
            for j, place in enumerate(places)
        ),
        *rows,
    )


def _cell(x: float, y: float, width: float, score: float, shade: svg.Scale, shares: bool) -> Safe:
    box = {"x": x, "y": y, "width": width, "height": 31.0, "rx": 2.0}
    return join(
        tag("rect", class_="cell", fill_opacity=shade(score), **box),
        svg.text(x + width / 2, y + 15.5, said(score, shares), class_="figure", anchor="middle"),
    )


def said(score: float, shares: bool) -> str:
    """A score as text: a share as percent.

    >>> said(0.7382, True), said(-1.25, False)
    ('73.8 %', '-1.250')
    """
    return f"{100 * score:.1f} %" if shares else f"{score:.3f}"


def tick(score: float, shares: bool) -> str:
    """A score on an axis.

    >>> tick(0.7, True), tick(-1.5, False)
    ('70 %', '-1.5')
    """
    return f"{100 * score:.4g} %" if shares else f"{score:.4g}"


def _shares(metric: str) -> bool:
    return "accuracy" in metric

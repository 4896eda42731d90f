"""Pictures of scores: alone, together and pooled with their intervals, and who predicts for whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from talkoot.watch import svg, words
from talkoot.watch.charts import WIDTH
from talkoot.watch.markup import Safe, join, tag

Interval = Sequence[float | None]  # (score, low, high); None where it is unknown
Ways = Mapping[str, Interval]
WAYS = ("alone", "together", "pooled", "left out")
MOST = 24  # nodes that are drawn; those whose scores differ least are left out first
LEFT = 170.0  # where pictures begin, beside the names
STEP = 17.0  # from one way to the next


def dots(scores: Mapping[str, Ways], metric: str) -> svg.Picture:
    """For each node a line for each way of learning: its score, its interval, and both in figures.

    Args:
        scores: node -> way -> (score, low, high); nodes without a way lack its line.
        metric: what the scores are, such as "accuracy".
    """
    scores, folded = _telling(scores)
    ends = [v for ways in scores.values() for known in ways.values() for v in known if v is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)  # where no score could be computed
    pad = 0.04 * ((high - low) or 1.0)
    x = svg.linear(low - pad, high + pad, LEFT, 580)
    shares, top = _shares(metric), 34.0
    rows, y = [], top
    for name, ways in scores.items():
        rows.append(_node(name, ways, y, x, shares))
        y += STEP * len(ways) + 14
    more = f"and {words.many(folded, 'node')} whose scores differ less"
    return svg.picture(
        WIDTH,
        y + 34,
        f"{metric} of each node by how the model was learned",
        svg.text(LEFT, 10, metric, class_="head"),
        svg.text(WIDTH, 10, "95 % interval", class_="head", anchor="end"),
        _axis(low, high, x, top - 6, y + 4, shares),
        *rows,
        svg.text(0, y + 22, more, class_="muted") if folded else None,
    )


def _telling(scores: Mapping[str, Ways]) -> tuple[Mapping[str, Ways], int]:
    """The nodes to draw, in their order, and how many are left out."""

    def spread(node: str) -> float:
        values = [known[0] for known in scores[node].values() if known[0] is not None]
        return max(values) - min(values) if values else 0.0

    kept = set(sorted(scores, key=spread, reverse=True)[:MOST])
    shown = {node: ways for node, ways in scores.items() if node in kept and ways}
    return shown, len(scores) - len(shown)


def _node(name: str, ways: Ways, top: float, x: svg.Scale, shares: bool) -> Safe:
    middle = top + STEP * len(ways) / 2
    parts = [svg.text(0, middle, tag("title", name), words.short(name, 22), class_="name")]
    for i, way in enumerate(way for way in WAYS if way in ways):
        score, low, high = ways[way]
        y, kind = top + STEP * (i + 0.5), way.replace(" ", "-")
        if score is None:
            continue
        if low is not None and high is not None:
            parts.append(svg.line(x(low), y, x(high), y, f"range {kind}"))
            parts.append(svg.text(WIDTH, y, _between(low, high, shares), class_="figure muted", anchor="end"))
        parts += [
            svg.dot(x(score), y, 4.2, f"mark {kind}"),
            svg.text(612, y, way, class_=f"say {kind}"),
            svg.text(740, y, said(score, shares), class_="figure", anchor="end"),
        ]
    return join(*parts)


def matrix(
    cells: Mapping[str, Mapping[str, float]],
    heads: tuple[str, str],
    write: Callable[[float], str],
    *,
    full: float | None = None,
    strong: str = "",
) -> svg.Picture:
    """Numbers by row and column, the greater the darker.

    Args:
        cells: row -> column -> number; those that are missing stay empty.
        heads: what the rows are, and what the numbers are and the columns.
        write: a number as text.
        full: from which number on a cell is as dark as can be; the greatest by default.
        strong: a row to set apart.
    """
    places = list(dict.fromkeys(place for row in cells.values() for place in row))
    top, step, wide = 46.0, 34.0, min(142.0, (WIDTH - LEFT) / len(places))
    values = [v for row in cells.values() for v in row.values()]
    high = max(values) if full is None else full
    shade = svg.linear(min(0.0, *values) if full else min(values), high, 0.04, 0.5)
    rows = []
    for i, (name, row) in enumerate(cells.items()):
        apart = name == strong
        y = top + step * i + (10 if apart else 0)
        rows.append(
            svg.text(0, y + 15.5, words.short(name, 22), class_="strong together" if apart else "name")
        )
        rows += [
            _cell(LEFT + wide * j, y, wide - 3, write(row[place]), shade(min(row[place], high)))
            for j, place in enumerate(places)
            if place in row
        ]
    return svg.picture(
        WIDTH,
        top + step * len(cells) + 14,
        f"{heads[1]}: {words.listed(places)}",
        svg.text(0, 10, heads[0], class_="head"),
        svg.text(LEFT, 10, heads[1], class_="head"),
        *(
            svg.text(LEFT + wide * (j + 0.5), 32, words.short(p, 18), anchor="middle")
            for j, p in enumerate(places)
        ),
        *rows,
    )


def _cell(x: float, y: float, width: float, text: str, shade: float) -> Safe:
    box = {"x": x, "y": y, "width": width, "height": 31.0, "rx": 2.0}
    return join(
        tag("rect", class_="cell", fill_opacity=shade, **box),
        svg.text(x + width / 2, y + 15.5, text, class_="figure", anchor="middle"),
    )


def transfer(scores: Mapping[str, Mapping[str, float]], metric: str) -> svg.Picture:
    """Who predicts for whom: a row for each model, a column for the rows that it was tested on.

    Args:
        scores: learned from -> tested on -> score; the row "together" is set apart.
        metric: what the scores are.
    """
    shares = _shares(metric)
    heads = ("learned from", f"{metric} on unseen rows of")
    return matrix(scores, heads, lambda score: said(score, shares), strong="together")


def said(score: float, shares: bool) -> str:
    """A score as text: a share as percent.

    >>> said(0.7382, True), said(-1.25, False)
    ('73.8 %', '-1.250')
    """
    return f"{100 * score:.1f} %" if shares else f"{score:.3f}"


def _between(low: float, high: float, shares: bool) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f} %" if shares else f"{low:.3f} to {high:.3f}"


def _axis(low: float, high: float, x: svg.Scale, top: float, end: float, shares: bool) -> Safe:
    """Lines at round scores, labelled below."""
    levels, unit = svg.ticks(low, high, 6), " %" if shares else ""
    texts = words.even([100 * v if shares else v for v in levels])
    return join(
        *(svg.line(x(v), top, x(v), end - 12, "hair") for v in levels),
        *(
            svg.text(x(v), end, said + unit, class_="axis", anchor="middle")
            for v, said in zip(levels, texts, strict=True)
        ),
    )


def _shares(metric: str) -> bool:
    return "accuracy" in metric

"""Pictures of scores: of each variant with its interval, and of each node's model on the others' rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from talkoot.watch import svg, words
from talkoot.watch.charts import WIDTH
from talkoot.watch.markup import Safe, join, tag

Interval = Sequence[float | None]  # (score, low, high); None where it is unknown
Scores = Mapping[str, Interval]  # variant -> interval
VARIANTS = {  # how the model was learned, in the order in which variants are drawn
    "alone": "from the node's own rows",
    "together": "from all nodes, by Talkoot",
    "pooled": "from all rows on one machine",
    "left out": "from all nodes but this one",
}
MAX_NODES = 24  # that are drawn; those whose scores differ least are left out first
LEFT = 170.0  # width of the names
STEP = 17.0  # from one line to the next


def dots(scores: Mapping[str, Scores], metric: str) -> svg.Picture:
    """For each node a line for each variant: its score, its interval, and both as numbers.

    `scores` are node -> variant -> (score, low, high); variants may be missing.
    """
    scores, left_out = _most_different(scores)
    ends = [v for variants in scores.values() for known in variants.values() for v in known if v is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)  # the defaults: no score could be computed
    pad = 0.04 * ((high - low) or 1.0)
    x = svg.linear(low - pad, high + pad, LEFT, 580)
    percent, top = _is_share(metric), 34.0
    rows, y = [], top
    for name, variants in scores.items():
        rows.append(_node(name, variants, y, x, percent))
        y += STEP * len(variants) + 14
    more = f"and {words.many(left_out, 'node')} whose scores differ less"
    return svg.picture(
        WIDTH,
        y + 34,
        f"{metric} of each node by how the model was learned",
        svg.text(LEFT, 10, metric, class_="head"),
        svg.text(WIDTH, 10, "95 % interval", class_="head", anchor="end"),
        _axis(low, high, x, top - 6, y + 4, percent),
        *rows,
        svg.text(0, y + 22, more, class_="muted") if left_out else None,
    )


def _most_different(scores: Mapping[str, Scores]) -> tuple[Mapping[str, Scores], int]:
    """The nodes to draw, in their order, and how many are left out."""

    def spread(node: str) -> float:
        values = [known[0] for known in scores[node].values() if known[0] is not None]
        return max(values) - min(values) if values else 0.0

    first = set(sorted(scores, key=spread, reverse=True)[:MAX_NODES])
    shown = {node: variants for node, variants in scores.items() if node in first and variants}
    return shown, len(scores) - len(shown)


def _node(name: str, variants: Scores, top: float, x: svg.Scale, percent: bool) -> Safe:
    middle = top + STEP * len(variants) / 2
    parts = [svg.text(0, middle, tag("title", name), words.short(name, 22), class_="name")]
    for i, variant in enumerate(variant for variant in VARIANTS if variant in variants):
        score, low, high = variants[variant]
        y, kind = top + STEP * (i + 0.5), variant.replace(" ", "-")
        if score is None:
            continue
        if low is not None and high is not None:
            parts.append(svg.line(x(low), y, x(high), y, f"range {kind}"))
            parts.append(
                svg.text(WIDTH, y, _between(low, high, percent), class_="figure muted", anchor="end")
            )
        parts += [
            svg.dot(x(score), y, 4.2, f"mark {kind}"),
            svg.text(612, y, variant, class_=f"say {kind}"),
            svg.text(740, y, score_text(score, percent), class_="figure", anchor="end"),
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
    """Numbers by row and column; greater numbers have darker cells, and missing cells stay empty.

    Cells have the darkest shade from `full` on, by default the greatest; the row `strong` is emphasized.
    """
    places = list(dict.fromkeys(place for row in cells.values() for place in row))
    top, step, wide = 46.0, 34.0, min(142.0, (WIDTH - LEFT) / len(places))
    values = [v for row in cells.values() for v in row.values()]
    high = max(values) if full is None else full
    shade = svg.linear(min(0.0, *values) if full else min(values), high, 0.04, 0.5)
    rows = []
    for i, (name, row) in enumerate(cells.items()):
        style = "strong together" if name == strong else "name"
        y = top + step * i + (10 if name == strong else 0)
        rows.append(svg.text(0, y + 15.5, words.short(name, 22), class_=style))
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
    """A row for each model, a column for each node's rows that it was tested on.

    `scores` are trained on -> tested on -> score; the row "together" is emphasized.
    """
    percent = _is_share(metric)
    heads = ("learned from", f"{metric} on unseen rows of")
    return matrix(scores, heads, lambda score: score_text(score, percent), strong="together")


def score_text(score: float, percent: bool) -> str:
    """A score as text: a share as percent.

    >>> score_text(0.7382, True), score_text(-1.25, False)
    ('73.8 %', '-1.250')
    """
    return f"{100 * score:.1f} %" if percent else f"{score:.3f}"


def _between(low: float, high: float, percent: bool) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f} %" if percent else f"{low:.3f} to {high:.3f}"


def _axis(low: float, high: float, x: svg.Scale, top: float, end: float, percent: bool) -> Safe:
    """Lines at round scores, labelled below."""
    levels, unit = svg.ticks(low, high, 6), " %" if percent else ""
    texts = words.even([100 * v if percent else v for v in levels])
    return join(
        *(svg.line(x(v), top, x(v), end - 12, "hair") for v in levels),
        *(
            svg.text(x(v), end, text + unit, class_="axis", anchor="middle")
            for v, text in zip(levels, texts, strict=True)
        ),
    )


def _is_share(metric: str) -> bool:
    return "accuracy" in metric

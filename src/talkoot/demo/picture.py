"""The demo's result as one picture, for a README."""

from __future__ import annotations

from collections.abc import Mapping

import talkoot as tk
from talkoot.watch import svg, words
from talkoot.watch.charts import WIDTH, NodeBand, flow
from talkoot.watch.markup import tag
from talkoot.watch.page import style
from talkoot.watch.scores import transfer

PAD = 36.0
CAPTION = "Alone, a model is lost away from home. Together, one serves all four, and no row leaves its area."


def draw(fit: tk.Fit, scores: Mapping[str, Mapping[str, float]]) -> str:
    """The areas that make one model, and the accuracy of each model in each area.

    `scores` are trained on -> tested on -> accuracy.
    """
    bands = [NodeBand(name=node, rows=shard.rows, seconds=None) for node, shard in fit.job.shards.items()]
    lines = [words.many(fit.schema.rows, "row"), f"{words.many(len(fit.history), 'round')} of sums"]
    nodes, cells = flow(bands, "one model", lines), transfer(scores, "accuracy")
    top, between = 96.0, 34.0
    sheet = svg.picture(
        WIDTH + 2 * PAD,
        top + nodes.height + between + cells.height + PAD - 8,
        "Four areas of forest learn one model: its accuracy in each, beside that of each area's own",
        tag("style", style("drawn")),
        tag("rect", width="100%", height="100%", rx=8.0, class_="paper"),
        svg.text(PAD, 38, "Four areas of one forest, one model", class_="title"),
        svg.text(PAD, 64, CAPTION, class_="muted"),
        nodes.at(PAD, top),
        cells.at(PAD, top + nodes.height + between),
    )
    return sheet.draw() + "\n"

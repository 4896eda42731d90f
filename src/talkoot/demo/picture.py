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
CAPTION = "The shared model ranks each lender's unseen loans better than its own, and no row leaves a lender."


def draw(fit: tk.Fit, scores: Mapping[str, Mapping[str, float]]) -> str:
    """The lenders that make one model, and the score of each model at each lender.

    `scores` are trained on -> tested on -> area under the ROC curve.
    """
    bands = [NodeBand(name=node, rows=shard.rows, seconds=None) for node, shard in fit.job.shards.items()]
    lines = [words.many(fit.schema.rows, "row"), f"{words.many(len(fit.history), 'round')} of sums"]
    nodes, cells = flow(bands, "one model", lines), transfer(scores, "area under the curve")
    top, between = 96.0, 34.0
    sheet = svg.picture(
        WIDTH + 2 * PAD,
        top + nodes.height + between + cells.height + PAD - 8,
        "Six lenders learn one model: its area under the curve at each, beside that of each lender's own",
        tag("style", style("drawn")),
        tag("rect", width="100%", height="100%", rx=8.0, class_="paper"),
        svg.text(PAD, 38, "Six lenders, one model", class_="title"),
        svg.text(PAD, 64, CAPTION, class_="muted"),
        nodes.at(PAD, top),
        cells.at(PAD, top + nodes.height + between),
    )
    return sheet.draw() + "\n"

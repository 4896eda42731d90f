"""The texts of the demo; every number in them is measured in the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

import talkoot as tk
from talkoot.api.text_table import text_table
from talkoot.watch import words
from talkoot.watch.scores import VARIANTS, score_text

SHOWN = ("mean_", "scale_", "coef_", "intercept_", "predict_proba")
Scores = Mapping[str, Mapping[str, float]]


def welcome(workers: int) -> str:
    """The introduction."""
    return (
        "[bold]Four areas of one forest learn a model together, on this machine.[/]\n\n"
        "Which of seven kinds of forest grows on a cell of 30 x 30 m? Ten numbers are known of it, such as "
        "elevation and hill shade. Each wilderness area keeps its own cells, 11,001 in all, and sends only "
        f"sums. Here the areas live in {workers} processes of one machine; elsewhere they may be hospitals, "
        "banks, or the machines of a cluster.\n[dim]Data: Covertype, Blackard & Dean, CC BY 4.0.[/]"
    )


def agreement(contract: tk.Contract) -> RenderableType:
    """For each area the largest difference of its labels and of one column; the report has all findings."""
    grid = Table.grid(padding=(0, 2))
    shown = 0
    for node in contract.nodes:
        named = [f for f in contract.findings if f.node == node]
        kinds = [[f for f in named if f.kind == kind] for kind in ("labels", "shift")]
        most = [max(found, key=lambda f: f.size) for found in kinds if found]
        for i, f in enumerate(most):
            grid.add_row(Text("" if i else node), Text(f"{f.column}: {f.what}"))
        shown += len(most)
    rest = len(contract.findings) - shown
    more = f"Not quite; {words.many(rest, 'finding')} more in the report." if shown else "They do."
    return Group(grid, Text(more))


def learned(fit: tk.Fit) -> str:
    """The last line of the live view, for where there is none."""
    rounds = f"{words.many(len(fit.history), 'round')} in {words.duration(fit.seconds)}"
    return (
        f"{words.many(len(fit.shards), 'area')}, {words.many(fit.schema.rows, 'cell')}, one model: {rounds}"
    )


def table(comparison: tk.Comparison) -> str:
    """Scores as percentages, in columns; the gain is together minus alone."""
    variants = [name for name in VARIANTS if any(name in row.scores for row in comparison.rows)]
    lines = [[comparison.metric, *variants, "together - alone"]]
    for row in comparison.rows:
        scores = [score_text(row.scores[v].value, True) if v in row.scores else "-" for v in variants]
        gain = row.gain
        points = (
            "-" if gain is None else f"{_points(gain.value)}  ({_points(gain.low)} to {_points(gain.high)})"
        )
        lines.append([row.node, *scores, points])
    return text_table(lines, right=range(1, len(variants) + 1))


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def at_home(comparison: tk.Comparison) -> str:
    """How much an area gains or loses on its own cells."""
    gains = [100 * row.gain.value for row in comparison.rows if row.gain]
    low, high = min(gains), max(gains)
    if high < 0:
        return (
            f"On its own cells each area does a little better alone, by {-high:.1f} to {-low:.1f} points: "
            "one shared model has to fit four different forests."
        )
    if low > 0:
        return f"On its own cells each area gains {low:.1f} to {high:.1f} points from the others."
    return f"On its own cells an area's gain from the others is {low:+.1f} to {high:+.1f} points."


def away_from_home(scores: Scores) -> str:
    """How well models predict in other areas."""
    pairs = [(scores[a][b], a, b) for a in scores if a != "together" for b in scores[a] if a != b]
    worst, model, place = min(pairs)
    together = scores["together"]
    alone, there, least = (
        score_text(score, True) for score in (worst, together[place], min(together.values()))
    )
    return (
        f"Away from home it is another matter: what {model} learned alone is right for {alone} "
        f"of {place}. The one model of all is right for {there} there, and for at "
        f"least {least} everywhere."
    )


def same(verification: tk.Verification) -> str:
    """The largest differences from scikit-learn on all rows; the report has all of them."""
    shown = [check for check in verification.checks if check.name.endswith(SHOWN) or not check.ok]
    rows = [
        [
            check.name,
            f"{max(check.apart.values()):.0e}",
            f"{check.tolerance:.0e}",
            "same" if check.ok else "DIFFERS",
        ]
        for check in shown
    ]
    verdict = "It is." if verification.ok else "It is NOT."
    layouts = words.many(len(verification.checks[0].apart), "layout")
    head = f"{verdict} Largest differences from scikit-learn on all rows, over {layouts}:"
    return f"{head}\n{text_table([['', 'found', 'allowed', ''], *rows], right=(1, 2))}"


def closing(page: Path, seconds: float) -> str:
    """Where the report is."""
    return f"\n[bold]All of it, with pictures:[/] {page}\n[dim]{words.duration(seconds)} in all.[/]"

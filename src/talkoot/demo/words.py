"""The texts of the demo; every number in them is measured in the run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

import talkoot as tk
from talkoot.api.text_table import text_table
from talkoot.watch import words
from talkoot.watch.scores import VARIANTS, score_text

MEASURE = "Area under the ROC curve: how often a bad loan has a higher risk than a good one; 0.5 is chance."
SHOWN = ("mean_", "scale_", "coef_", "intercept_", "predict_proba")
Scores = Mapping[str, Mapping[str, float]]


def welcome(workers: int) -> str:
    """The introduction."""
    return (
        "[bold]Six lenders learn a model together, on this machine.[/]\n\nWho will not pay back? "
        "Seventeen things are known of a loan, such as its months and whether there are savings. Each "
        "lender keeps its own loans, 1,000 in all, and sends only sums. Here the lenders live in "
        f"{workers} processes of one machine; elsewhere they may be banks, hospitals, or the machines "
        "of a cluster.\n[dim]Data: German credit, Hofmann 1994, CC BY 4.0; lenders by what the money "
        "was for.[/]"
    )


def agreement(contract: tk.Contract) -> RenderableType:
    """For each lender the largest difference of its labels and of one column; the report has all findings."""
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
        f"{words.many(len(fit.shards), 'lender')}, {words.many(fit.schema.rows, 'loan')}, one model: {rounds}"
    )


def table(comparison: tk.Comparison) -> str:
    """Scores in columns; the gain is together minus alone, with its 95% interval."""
    variants = [name for name in VARIANTS if any(name in row.scores for row in comparison.rows)]
    lines = [["lender", "loans", *variants, "together - alone"]]
    for row in comparison.rows:
        scores = [score_text(row.scores[v].value, False) if v in row.scores else "-" for v in variants]
        gain = "-" if row.gain is None else _between(row.gain.value, row.gain.low, row.gain.high)
        lines.append([row.node, f"{row.rows}", *scores, gain])
    return text_table(lines, right=range(1, len(variants) + 2))


def _between(value: float, low: float, high: float) -> str:
    return f"{value:+.3f}  ({low:+.3f} to {high:+.3f})"


def mean_gain(comparison: tk.Comparison) -> tuple[float, float, float]:
    """The mean gain over nodes and its 95% interval, from those of the nodes, whose rows are independent.

    Source: Zou & Donner 2008, Statistics in Medicine 27.
    """
    gains = [row.gain for row in comparison.rows if row.gain]
    mean = sum(gain.value for gain in gains) / len(gains)
    down, up = (
        math.hypot(*(end - gain.value for gain, end in zip(gains, ends, strict=True))) / len(gains)
        for ends in ([gain.low for gain in gains], [gain.high for gain in gains])
    )
    return mean, mean - down, mean + up


def at_home(comparison: tk.Comparison) -> str:
    """How much a lender gains or loses on its own loans."""
    gains = [row.gain.value for row in comparison.rows if row.gain]
    least, most = min(gains), max(gains)
    sure = f"{sum(row.gain.low > 0 for row in comparison.rows if row.gain)} of {len(gains)}"
    mean = f"{_between(*mean_gain(comparison))} on average; taken by itself, the gain is sure at {sure}"
    if least > 0:
        return f"On its own loans each lender gains from the others, {least:+.3f} to {most:+.3f}: {mean}."
    return f"On its own loans a lender's gain from the others is {least:+.3f} to {most:+.3f}: {mean}."


def away_from_home(scores: Scores) -> str:
    """How well models predict at other lenders."""
    pairs = [(scores[a][b], a, b) for a in scores if a != "together" for b in scores[a] if a != b]
    worst, model, place = min(pairs)
    together = scores["together"]
    mean, whole = (sum(each) / len(each) for each in ([pair[0] for pair in pairs], together.values()))
    return (
        f"Away from home a lender's own model has {mean:.3f} on average, and {worst:.3f} at worst: that "
        f"of {model!r} at {place!r}, where the one model of all has {together[place]:.3f}. It has "
        f"{whole:.3f} on average, and {min(together.values()):.3f} or more everywhere."
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

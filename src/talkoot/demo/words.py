"""What the demo says. Every number in it is measured in the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

import talkoot as tk
from talkoot.api.text_table import aligned
from talkoot.watch import words
from talkoot.watch.scores import WAYS, said

SHOWN = ("mean_", "scale_", "coef_", "intercept_", "predict_proba")
Scores = Mapping[str, Mapping[str, float]]


def welcome(workers: int) -> str:
    """What will happen."""
    return (
        "[bold]Four areas of one forest learn a model together, on this machine.[/]\n\n"
        "Which of seven kinds of forest grows on a cell of 30 x 30 m? Ten numbers are known of it, such as "
        "elevation and hill shade. Each wilderness area keeps its own cells, 11,001 in all, and sends only "
        f"sums. Here the areas live in {workers} processes of one machine; elsewhere they may be hospitals, "
        "banks, or the machines of a cluster.\n[dim]Data: Covertype, Blackard & Dean, CC BY 4.0.[/]"
    )


def agreement(contract: tk.Contract) -> RenderableType:
    """What stands out at each area: of its labels, and of one column; the report has all of it."""
    grid = Table.grid(padding=(0, 2))
    told = 0
    for node in contract.nodes:
        named = [f for f in contract.findings if f.node == node]
        kinds = [[f for f in named if f.kind == kind] for kind in ("labels", "shift")]
        most = [max(found, key=lambda f: f.size) for found in kinds if found]
        for i, f in enumerate(most):
            grid.add_row(Text("" if i else node), Text(f"{f.column}: {f.what}"))
        told += len(most)
    rest = len(contract.findings) - told
    more = f"Not quite; {words.many(rest, 'finding')} more in the report." if told else "They do."
    return Group(grid, Text(more))


def learned(fit: tk.Fit) -> str:
    """What the live view would have shown at its end."""
    rounds = f"{words.many(len(fit.history), 'round')} in {words.duration(fit.seconds)}"
    return (
        f"{words.many(len(fit.shards), 'area')}, {words.many(fit.schema.rows, 'cell')}, one model: {rounds}"
    )


def table(comparison: tk.Comparison) -> str:
    """Scores as percentages, in columns; the gain is that of together over alone."""
    ways = [way for way in WAYS if any(way in row.scores for row in comparison.rows)]
    lines = [[comparison.metric, *ways, "together - alone"]]
    for row in comparison.rows:
        scores = [said(row.scores[way].value, True) if way in row.scores else "-" for way in ways]
        gain = row.gain
        points = (
            "-" if gain is None else f"{_points(gain.value)}  ({_points(gain.low)} to {_points(gain.high)})"
        )
        lines.append([row.node, *scores, points])
    return aligned(lines, right=range(1, len(ways) + 1))


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def at_home(comparison: tk.Comparison) -> str:
    """What an area wins or loses on its own cells."""
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
    """What becomes of a model in another area."""
    pairs = [(scores[a][b], a, b) for a in scores if a != "together" for b in scores[a] if a != b]
    worst, model, place = min(pairs)
    together = scores["together"]
    return (
        f"Away from home it is another matter: what {model} learned alone is right for {said(worst, True)} "
        f"of {place}. The one model of all is right for {said(together[place], True)} there, and for at "
        f"least {said(min(together.values()), True)} everywhere."
    )


def same(verification: tk.Verification) -> str:
    """The largest differences from scikit-learn on all rows; the report has those that are left out here."""
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
    return f"{head}\n{aligned([['', 'found', 'allowed', ''], *rows], right=(1, 2))}"


def closing(page: Path, seconds: float) -> str:
    """Where to look now."""
    return f"\n[bold]All of it, with pictures:[/] {page}\n[dim]{words.duration(seconds)} in all.[/]"

"""The demo: check, learn together, ask whether it pays, verify; and write it all down."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import talkoot as tk
from talkoot.demo.data import BY, PATH, TARGET, areas
from talkoot.demo.words import at_home, away_from_home, closing, same, table, welcome
from talkoot.watch.events import EventLog
from talkoot.watch.report import report

Scores = dict[str, dict[str, float]]  # learned from -> tested on -> accuracy


def show(folder: Path, *, workers: int = 4, picture: str | None = None, quiet: bool = False) -> bool:
    """Run the demo.

    Args:
        folder: where the event log and the report go.
        workers: processes that host the four areas.
        picture: also draw the result as an SVG file there.
        quiet: no live view.

    Returns:
        Whether the answer was that of one machine.
    """
    began = time.perf_counter()
    console = Console(highlight=False)
    console.width = min(console.width, 100)
    say = console.print
    estimator = make_pipeline(StandardScaler(), LogisticRegression(solver="newton-cholesky"))
    rows, engine, log = tk.shards(PATH, TARGET, by=BY), tk.Local(workers), folder / "events.jsonl"
    say(welcome(workers))

    say("\n[bold]1  Do their data agree?[/]  tk.check")
    contract = tk.check(rows, on=engine)
    say(f"{contract}", markup=False, soft_wrap=True)

    say(f"\n[bold]2  They learn together[/]  tk.fit, {workers} worker processes")
    fit = tk.fit(estimator, rows, on=engine, log=log, progress=not quiet)

    say("\n[bold]3  Does it pay?[/]  tk.compare, on cells that no model has seen")
    comparison = tk.compare(estimator, rows, on=engine, folds=4)
    say(table(comparison), markup=False, soft_wrap=True)
    scores = transferred(estimator, comparison)
    home, elsewhere = at_home(comparison), away_from_home(scores)
    say(f"\n{home} {elsewhere}", markup=False)

    say("\n[bold]4  Is it the answer of one machine?[/]  tk.verify")
    verification = tk.verify(estimator, rows, on=engine, nodes=(1, 3))
    say(same(verification), markup=False, soft_wrap=True)

    with EventLog(log) as told:
        told("check", contract.facts())
        told("compare", {**comparison.facts(), "said": home})
        told("transfer", {"metric": comparison.metric, "scores": scores, "said": elsewhere})
        told("verify", verification.facts())
    page = report(log, folder / "report.html")
    if picture:
        from talkoot.demo.picture import draw

        Path(picture).write_text(draw(fit, scores), encoding="utf-8")
    say(closing(page, time.perf_counter() - began), soft_wrap=True)
    return verification.ok


def transferred(estimator: Any, comparison: tk.Comparison) -> Scores:
    """How well each area's own model does at home and away, and the one that all learned together.

    At home and together: cross-validated, as compared. Away: the model of all rows of one area, on
    all rows of another, of which it has seen none.
    """
    cells = areas()
    rows = {row.node: cells[row.node] for row in comparison.rows}
    scores: Scores = {}
    for home, (X, y) in rows.items():
        model = clone(estimator).fit(X, y)
        scores[home] = {
            place: _value(comparison, home, "alone") if place == home else float(model.score(*rows[place]))
            for place in rows
        }
    return scores | {"together": {place: _value(comparison, place, "together") for place in rows}}


def _value(comparison: tk.Comparison, node: str, way: str) -> float:
    return float(comparison[node].scores[way].value)

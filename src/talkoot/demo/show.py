"""The demo: check, fit, compare and verify, then write the report."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
from rich.console import Console
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import talkoot as tk
from talkoot.demo.data import BY, PATH, TARGET, TEXTS, lenders
from talkoot.demo.picture import draw
from talkoot.demo.words import (
    MEASURE,
    agreement,
    at_home,
    away_from_home,
    closing,
    learned,
    same,
    table,
    welcome,
)
from talkoot.watch.events import EventLog
from talkoot.watch.report import report

Scores = dict[str, dict[str, float]]  # trained on -> tested on -> area under the ROC curve


def show(folder: Path, *, workers: int = 4, picture: str | None = None, quiet: bool = False) -> bool:
    """Run the demo; whether the answer is the same as on one machine.

    The event log and the report go to `folder`; `workers` processes host the six lenders, and the result is
    drawn at `picture` as an SVG file.
    """
    began, log = time.perf_counter(), folder / "events.jsonl"
    demo = Demo(_console(), tk.shards(PATH, TARGET, by=BY), tk.Local(workers))
    demo.console.print(welcome(workers))
    contract = demo.check()
    fit = demo.fit(log, quiet)
    comparison, scores, home, elsewhere = demo.compare()
    verification = demo.verify()
    with EventLog(log) as emit:
        emit("check", {"findings": [{"level": f.severity, **asdict(f)} for f in contract.findings]})
        emit("compare", {**comparison.facts(), "summary": home})
        emit("transfer", {"metric": comparison.metric, "scores": scores, "summary": elsewhere})
        emit("verify", verification.facts())
    page = report(log, folder / "report.html")
    if picture:
        Path(picture).write_text(draw(fit, scores), encoding="utf-8")
    demo.console.print(closing(page, time.perf_counter() - began), soft_wrap=True)
    return verification.ok


def loan_model() -> Any:
    """What is learned: a logistic regression on texts, one column for each, and on standardized numbers."""
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), slice(0, TEXTS)), (StandardScaler(), slice(TEXTS, None))
    )
    return make_pipeline(columns, LogisticRegression(C=0.1, solver="newton-cholesky"))


def _console() -> Console:
    console = Console(highlight=False)
    console.width = min(console.width, 100)
    return console


@final
@dataclass(frozen=True, slots=True)
class Demo:
    """The four steps; each prints what it does and its result."""

    console: Console
    rows: tk.Shards
    engine: tk.Local
    estimator: Any = field(default_factory=loan_model)

    def check(self) -> tk.Contract:
        """Check whether their data agree."""
        self.console.print("\n[bold]1  Do their data agree?[/]  tk.check")
        with self.console.status("counts and sums of each lender"):
            contract = tk.check(self.rows, on=self.engine)
        self.console.print(agreement(contract))
        return contract

    def fit(self, log: Path, quiet: bool) -> tk.Fit:
        """Fit one model to the rows of all lenders."""
        self.console.print(f"\n[bold]2  They learn together[/]  tk.fit, on {self.engine.workers} processes")
        view = sys.stderr.isatty() and not quiet
        fit = tk.fit(self.estimator, self.rows, on=self.engine, log=log, progress=view)
        if not view:
            self.console.print(learned(fit))
        return fit

    def compare(self) -> tuple[tk.Comparison, Scores, str, str]:
        """Compare alone, together and pooled, and test each lender's model at the others."""
        self.console.print("\n[bold]3  Does it pay?[/]  tk.compare, on loans that no model has seen")
        with self.console.status("each alone, all together, all but one, all on one machine; four folds"):
            comparison = tk.compare(
                self.estimator, self.rows, on=self.engine, folds=4, repeats=2, progress=False
            )
            scores = transferred(self.estimator, comparison)
        home, elsewhere = at_home(comparison), away_from_home(scores)
        self.console.print(f"{MEASURE}\n{table(comparison)}", markup=False, soft_wrap=True)
        self.console.print(f"\n{home} {elsewhere}", markup=False)
        return comparison, scores, home, elsewhere

    def verify(self) -> tk.Verification:
        """Check that the answer is the same as on one machine."""
        self.console.print("\n[bold]4  Is it the answer of one machine?[/]  tk.verify")
        with self.console.status("by scikit-learn alone, and over nodes in four ways"):
            verification = tk.verify(self.estimator, PATH, TARGET, by=BY, on=self.engine, nodes=(1, 3))
        self.console.print(same(verification), markup=False, soft_wrap=True)
        return verification


def transferred(estimator: Any, comparison: tk.Comparison) -> Scores:
    """The score of each lender's own model at every lender, and that of the model of all lenders.

    At its own lender and together: cross-validated, from the comparison. Elsewhere: the model of all rows of
    one lender, on all rows of another.
    """
    loans = lenders()
    rows = {row.node: loans[row.node] for row in comparison.rows}
    scores: Scores = {}
    for home, (X, y) in rows.items():
        model = clone(estimator).fit(X, y)
        scores[home] = {
            place: _value(comparison, home, "alone") if place == home else _area(model, *rows[place])
            for place in rows
        }
    return scores | {"together": {place: _value(comparison, place, "together") for place in rows}}


def _value(comparison: tk.Comparison, node: str, variant: str) -> float:
    return float(comparison[node].scores[variant].value)


def _area(model: Any, X: np.ndarray, y: np.ndarray) -> float:
    return float(roc_auc_score(y, model.predict_proba(X)[:, 1]))

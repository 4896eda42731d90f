"""How good predictions were that were made before their rows were learned, over all nodes."""

from __future__ import annotations

from functools import reduce

import numpy as np

from talkoot.learners.online.state import State
from talkoot.stream.evaluation.evaluation import Evaluation
from talkoot.stream.evaluation.sums import classes_of
from talkoot.stream.follow.model import Following
from talkoot.stream.follow.rules import Rules

EVALUATION = Evaluation()
Scores = dict[str, dict[str, dict[str, float]]]  # window -> the model or a baseline -> measure -> value


def scores(now: Following) -> Scores:
    """Scores by window, of the model and of what needs none.

    Where a class has just come, nodes that have not counted with it yet are left out: they begin anew.
    """
    parts = [part for part in now.scores.values() if part]
    if not any(report.learned for report in now.reports.values()) or not parts:
        return {}
    counted = [classes_of(part["all"]) for part in parts]
    classes = max(counted)
    whole = [part for part, count in zip(parts, counted, strict=True) if count == classes]
    sums: State = reduce(lambda a, b: {name: a[name] + b[name] for name in a}, whole)
    return EVALUATION.scores({"classes": np.array([classes])}, sums)


def main(rules: Rules) -> tuple[str, str]:
    """The measures that are shown first."""
    return ("log_loss", "accuracy") if rules.layout(0).classes else ("rmse", "mae")


def measured(now: Following, rules: Rules) -> dict[str, float]:
    """Rows, and the main scores of all rows beside those of the baselines, by name."""
    found = {"rows": float(now.rows)}
    names = main(rules)
    for who, measures in scores(now).get("all", {}).items():
        for name in names:
            if name in measures and (who == "model" or name in ("accuracy", "rmse")):
                found[name if who == "model" else f"{name} of {who}"] = measures[name]
    return found

"""The result of `compare`: a table and a sentence for each node, and plain values for reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

from talkoot.api.text_table import decimals, text_table

VARIANTS = ("alone", "together", "left out", "pooled")


@final
@dataclass(frozen=True, slots=True)
class Interval:
    """A score or a difference with its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{decimals(self.value, 3)} [{decimals(self.low, 2)}, {decimals(self.high, 2)}]"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One node of a comparison.

    Args:
        node: its name.
        rows: how many rows it has.
        scores: on its held-out rows, of the models trained "alone", "together", "left out" (on all
            other nodes) and "pooled"; without those that could not be trained or tested.
        gain: together minus alone, paired; None where one of them is missing.
        why: the reason why scores are missing.
    """

    node: str
    rows: int
    scores: Mapping[str, Interval]
    gain: Interval | None
    why: str = ""

    @property
    def verdict(self) -> str:
        """Whether working together pays for this node, in one sentence without its stop."""
        if self.gain is None:
            together = self.scores.get("together")
            return f"{self.node} {self.why}" + (f"; together it has {together}" if together else "")
        size = Interval(abs(self.gain.value), *sorted((abs(self.gain.low), abs(self.gain.high))))
        if self.gain.low > 0:
            return f"{self.node} gains {size}"
        if self.gain.high < 0:
            return f"{self.node} loses {size}"
        return f"{self.node} neither gains nor loses clearly: {self.gain}"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Alone, together, left out and pooled, node by node; see `compare`.

    Args:
        rows: the nodes in the caller's order.
        metric: the scorer's name.
        folds: parts that each node's rows were split into.
        repeats: number of random splits.
        notes: which models are missing, and why.

    >>> row = Row(node="va", rows=200, scores={"together": Interval(0.717, 0.64, 0.79)}, gain=None,
    ...           why="cannot learn alone: all its rows have one label")
    >>> print(Comparison(rows=(row,), metric="roc_auc", folds=5, repeats=1))
    roc_auc on held-out rows, 5 folds
    node  rows  alone  together          left out  pooled  together - alone
    va     200  -      .717 [.64, .79]   -         -       -
    <BLANKLINE>
    va cannot learn alone: all its rows have one label; together it has .717 [.64, .79].
    """

    rows: tuple[Row, ...]
    metric: str
    folds: int
    repeats: int = 1
    notes: tuple[str, ...] = ()

    def __getitem__(self, node: str) -> Row:
        return next(row for row in self.rows if row.node == node)

    def table(self) -> str:
        """Scores and gains with their intervals, in columns."""
        heads = ["node", "rows", *VARIANTS, "together - alone"]
        cells = [
            [row.node, f"{row.rows}", *(_cell(row.scores.get(name)) for name in VARIANTS), _cell(row.gain)]
            for row in self.rows
        ]
        return text_table([heads, *cells], right=(1,))

    def __str__(self) -> str:
        how = f"{self.folds} folds" + (f", split {self.repeats} times" if self.repeats > 1 else "")
        head = f"{self.metric} on held-out rows, {how}"
        verdicts = [f"{row.verdict}." for row in self.rows]
        return "\n".join([head, self.table(), "", *verdicts, *self.notes])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        rows = {
            row.node: {
                "rows": row.rows,
                "scores": {variant: asdict(score) for variant, score in row.scores.items()},
                "gain": row.gain and asdict(row.gain),
                "verdict": row.verdict,
            }
            for row in self.rows
        }
        return {"metric": self.metric, "folds": self.folds, "repeats": self.repeats, "nodes": rows}

    def facts(self) -> dict[str, Any]:
        """Plain values for a report: node -> variant -> (score, low, high)."""
        nodes = {
            row.node: {variant: (s.value, s.low, s.high) for variant, s in row.scores.items()}
            for row in self.rows
        }
        return {
            "metric": self.metric,
            "nodes": nodes,
            "summary": " ".join(f"{row.verdict}." for row in self.rows),
        }


def _cell(interval: Interval | None) -> str:
    return "-" if interval is None else str(interval)

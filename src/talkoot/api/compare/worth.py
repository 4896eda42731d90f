"""The result of `Fit.value`: what each node's data are worth to the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from talkoot.api.compare.comparison import Interval
from talkoot.api.text_table import decimals, text_table


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """One node's worth to the others.

    Args:
        node: its name.
        full: score of the models of all nodes, on held-out rows of the other nodes; NaN where these have
            no score.
        without: score of the models trained without this node, on the same rows; None where no model
            could be trained without it.
        interval: full minus without, with its 95% interval; None where one of them is missing.
        why: the reason why it is missing.
    """

    node: str
    full: float
    without: float | None
    interval: Interval | None = None
    why: str = ""

    @property
    def value(self) -> float:
        """What the others gain by this node's data; infinite where they cannot learn without it."""
        return np.inf if self.without is None else self.full - self.without


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What each node's data are worth to the others, highest first; see `Fit.value`.

    Args:
        scoring: name of the score.
        nodes: the nodes' worth.
        folds: parts that each node's rows were split into.

    >>> va = Worth(node="va", full=0.75, without=0.7, interval=Interval(0.05, 0.02, 0.08))
    >>> lima = Worth(node="lima", full=0.75, without=0.76, interval=Interval(-0.01, -0.03, 0.01))
    >>> print(Value(scoring="accuracy", nodes=(va, lima), folds=5))
    accuracy on the other nodes' rows that no model has seen, 5 folds
    node  with it  without it  worth
    va      .7500       .7000   .0500 [.0200, .0800]
    lima    .7500       .7600  -.0100 [-.0300, .0100]
    """

    scoring: str
    nodes: tuple[Worth, ...]
    folds: int

    def __getitem__(self, node: str) -> float:
        return next(worth.value for worth in self.nodes if worth.node == node)

    def __str__(self) -> str:
        rows = [["node", "with it", "without it", "worth"]]
        for worth in self.nodes:
            with_it = "-" if np.isnan(worth.full) else decimals(worth.full, 4)
            known = worth.without is not None and not np.isnan(worth.without)
            without = decimals(worth.without, 4) if known and worth.without is not None else "-"
            rows.append([worth.node, with_it, without, worth.why or _cell(worth)])
        head = f"{self.scoring} on the other nodes' rows that no model has seen, {self.folds} folds"
        return f"{head}\n{text_table(rows, right=(1, 2))}"

    def to_dict(self) -> dict[str, float]:
        """Worth by node, highest first."""
        return {worth.node: worth.value for worth in self.nodes}


def _cell(worth: Worth) -> str:
    if worth.interval is None:
        return decimals(worth.value, 4)
    value, low, high = (decimals(v, 4) for v in (worth.value, worth.interval.low, worth.interval.high))
    return f"{value:>6} [{low}, {high}]"

"""What each node's data are worth to the others: exact leave-one-node-out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
from sklearn.base import is_classifier, is_regressor

from talkoot.api.aligned import aligned, decimals
from talkoot.core.context import Ctx
from talkoot.core.errors import DataError, PlanError
from talkoot.core.learner import Kind, Learner
from talkoot.core.outer import Outer, Solve
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update, total
from talkoot.learners.composition.flow import head
from talkoot.learners.score import Scored, classified, regressed, score_of

if TYPE_CHECKING:
    from talkoot.api.fit import Fit

SCORES = {"accuracy": ("accuracy", 1), "neg_log_loss": ("log_loss", -1), "r2": ("r2", 1)}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """One node's worth to the others.

    Args:
        node: its name.
        full: score of the model of all nodes, on the rows of the other nodes.
        without: score of the model that never saw this node, on the same rows; None where nothing could
            be learned without it.
        why: the reason for that.
    """

    node: str
    full: float
    without: float | None
    why: str = ""

    @property
    def value(self) -> float:
        """What the others gain by this node's data; infinite where they can learn nothing without."""
        return np.inf if self.without is None else self.full - self.without


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What each node's data are worth to the others, highest first; see `Fit.value`.

    Args:
        scoring: name of the score.
        nodes: the nodes' worth.

    >>> va = Worth(node="va", full=0.75, without=0.7)
    >>> print(Value(scoring="accuracy", nodes=(va, Worth(node="lima", full=0.75, without=0.76))))
    accuracy on the rows of the other nodes
    node  with it  without it  worth
    va      .7500       .7000  .0500
    lima    .7500       .7600 -.0100
    """

    scoring: str
    nodes: tuple[Worth, ...]

    def __getitem__(self, node: str) -> float:
        return next(worth.value for worth in self.nodes if worth.node == node)

    def __str__(self) -> str:
        rows = [["node", "with it", "without it", "worth"]]
        for worth in self.nodes:
            without = "-" if worth.without is None else decimals(worth.without, 4)
            value = worth.why or decimals(worth.value, 4)
            rows.append([worth.node, decimals(worth.full, 4), without, value])
        return f"{self.scoring} on the rows of the other nodes\n{aligned(rows, right=(1, 2, 3))}"

    def to_dict(self) -> dict[str, float]:
        """Worth by node, highest first."""
        return {worth.node: worth.value for worth in self.nodes}


def value(fit: Fit, scoring: str | None = None) -> Value:
    """What each node's data are worth to the others; see `Fit.value`."""
    if fit.job.plan.learner.samples:
        raise PlanError(
            f"{type(fit.model).__name__} is a module of torch, and has no score of its own",
            cure="Fit without each node, and compare.",
        )
    scoring = _scoring(fit.model, scoring)
    if len(fit.shards) < 2:
        raise DataError("there is one node, so there are no others", cure="Fit over two nodes or more.")
    models: dict[str, Any] = {}
    why: dict[str, str] = {}
    for node in fit.shards:
        try:
            models[node] = fit.forget(node).model
        except DataError as error:
            why[node] = f"nothing can be learned without it: {error.cause}"
    jury = Jury(full=fit.model, without=models)
    done = run(Plan(jury), fit.shards, fit.engine, schema=fit.schema)
    sums = jury.finish(done.model)
    kind, sign = SCORES[scoring]

    def score(side: str, node: str) -> float:
        return sign * score_of(_under(f"{side}/{node}/", sums), kind)

    found = [
        Worth(
            node=node,
            full=score("full", node),
            without=score("without", node) if node in models else None,
            why=why.get(node, ""),
        )
        for node in fit.shards
    ]
    return Value(scoring=scoring, nodes=tuple(sorted(found, key=lambda worth: -worth.value)))


def _scoring(model: Any, scoring: str | None) -> str:
    if not (is_classifier(model) or is_regressor(model)):
        raise PlanError(f"{type(model).__name__} predicts nothing, so nothing can be scored")
    fits = ("accuracy", "neg_log_loss") if is_classifier(model) else ("r2",)
    if scoring is not None and scoring not in fits:
        raise PlanError(
            f"scoring={scoring!r} does not add over nodes here", cure=f"Take {' or '.join(fits)}."
        )
    return scoring or fits[0]


def _under(prefix: str, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): v for name, v in values.items() if name.startswith(prefix)}


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Jury(Learner):
    """Scores all models in one pass, each node's rows by every model but the one that never saw the node.

    Args:
        full: the model of all nodes.
        without: node -> the model that never saw it.
    """

    full: Any
    without: Mapping[str, Any]
    kind: ClassVar[Kind] = "exact"

    def init(self, schema: Schema, rng: np.random.Generator) -> Scored:
        """Nothing is known."""
        del rng
        return Scored(schema)

    def work(self, model: Scored, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Sums under ``"full/node/"`` and ``"without/node/"`` for every other node."""
        others = {node: rival for node, rival in self.without.items() if node != shard.name}
        sums = {f"without/{node}": self._sums(rival, shard, model.schema) for node, rival in others.items()}
        mine = self._sums(self.full, shard, model.schema)
        sums |= {f"full/{node}": mine for node in ctx.cohort if node != shard.name}
        values = {f"{name}/{leaf}": v for name, said in sums.items() for leaf, v in said.values.items()}
        return Update(values=values, weight=mine.weight), local

    def _sums(self, fitted: Any, shard: Shard, schema: Schema) -> Update:
        way, last = head(fitted)
        said = classified if is_classifier(fitted) else regressed
        return total(said(last, way(b.X), b, schema) for b in shard.blocks() if len(b))

    def outer(self) -> Outer:
        """One round."""
        return Solve(self.step)

    def step(self, model: Scored, update: Update) -> Scored:
        """Keep the sums."""
        return replace(model, said=update)

    def finish(self, model: Scored) -> Mapping[str, np.ndarray]:
        """The sums by name."""
        return (model.said or Update()).values

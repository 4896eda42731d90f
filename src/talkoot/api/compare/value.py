"""What each node's data are worth to the others: leave-one-node-out, on rows that no model has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
from sklearn.base import is_classifier, is_regressor

from talkoot.api.compare.comparison import Interval
from talkoot.api.compare.experiment import GROUP, jackknifed, mean_over_folds
from talkoot.api.compare.fold_fits import FoldFits, deals_of
from talkoot.api.compare.folds import Folds, take
from talkoot.api.compare.intervals import bounds_of, difference_interval, score_interval
from talkoot.api.compare.measures import GROUPS, Measure, Tally, measure_for
from talkoot.api.compare.worth import Value, Worth
from talkoot.api.watching import Counter, counted
from talkoot.core.context import Ctx
from talkoot.core.errors import DataError, PlanError
from talkoot.core.learner import Kind, Learner
from talkoot.core.merge import Gather, Merge, Sum
from talkoot.core.outer import Outer, Solve
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.compose.transform import head
from talkoot.learners.score import Scored

if TYPE_CHECKING:
    from talkoot.api.fit import Fit

SCORES = ("accuracy", "neg_log_loss", "roc_auc", "average_precision")
NONE = "nothing can be learned without it: "


def value(fit: Fit, scoring: str | None, folds: int, progress: bool | None) -> Value:
    """What each node's data are worth to the others; see `Fit.value`."""
    if fit.job.plan.learner.samples:
        raise PlanError(
            f"{type(fit.model).__name__} is a module of torch, and has no score of its own",
            cure="Fit without each node, and compare.",
        )
    (deal,) = deals_of(folds, 1, fit.job.plan.seed)
    if not (is_classifier(fit.model) or is_regressor(fit.model)):
        raise PlanError(f"{type(fit.model).__name__} predicts nothing, so nothing can be scored")
    if len(fit.shards) < 2:
        raise DataError("there is one node, so there are no others", cure="Fit over two nodes or more.")
    with counted(fit.job, progress) as count:
        schema, shards = fit.job.agree(count.emit)
        scoring, measure = _measure(fit.model, scoring, schema)
        fits = FoldFits.of(fit.job, schema, shards, (deal,), count.workers)
        found = LeaveOneOut(fits, scoring, measure, count).run()
    return Value(scoring=scoring, nodes=tuple(sorted(found, key=_last)), folds=folds)


def _last(worth: Worth) -> tuple[bool, float]:
    return (np.isnan(worth.value), -worth.value)


def _measure(model: Any, scoring: str | None, schema: Schema) -> tuple[str, Measure]:
    """The score and how it is worked out.

    Raises:
        PlanError: it is none that can be, for such a model and such labels.
    """
    fits = SCORES if is_classifier(model) else ("r2",)
    scoring = scoring or fits[0]
    measure = measure_for(scoring, schema) if scoring in fits else None
    lacks = scoring == "neg_log_loss" and not hasattr(model, "predict_proba")
    if measure is not None and not lacks:
        return scoring, measure
    able = [name for name in fits if measure_for(name, schema) is not None]
    able = [name for name in able if name != "neg_log_loss" or hasattr(model, "predict_proba")]
    why = "is no score of held-out rows that can be worked out here"
    if schema.classes is not None and scoring == "roc_auc":
        why = f"needs two classes, and there are {len(schema.classes)}"
    if schema.classes is not None and scoring == "average_precision":
        why = (
            f"needs two classes, of which 1 is the positive one, and the labels are {schema.classes.tolist()}"
        )
    raise PlanError(f"scoring={scoring!r} {why}", cure=f"Take {' or '.join(map(repr, able))}.")


@final
class LeaveOneOut:
    """Models with and without each node, fold by fold.

    Args:
        fits: trains them.
        scoring: the score's name.
        measure: how it is worked out.
        count: hears of every model and fold.
    """

    def __init__(self, fits: FoldFits, scoring: str, measure: Measure, count: Counter) -> None:
        self.fits, self.scoring, self.measure, self.count = fits, scoring, measure, count
        self.nodes = list(fits.shards)
        self.filled = [node for node in self.nodes if fits.rows[node].any()]
        self.why: dict[str, str] = {}
        self.tables: dict[str, list[np.ndarray]] = {node: [] for node in self.nodes}
        self.present = {node: np.zeros(GROUPS, dtype=bool) for node in self.nodes}

    def run(self) -> list[Worth]:
        """The worth of every node."""
        folds = self.fits.deals[0]
        self.count.begin(folds.count, 1 + len(self.filled))
        for fold in range(folds.count):
            self._hold(fold)
        return [self._worth(node) for node in self.nodes]

    def _hold(self, fold: int) -> None:
        """Train without one fold, then test on it."""
        full = self.fits.together(0, fold)
        self.count.trained()
        without: dict[str, Any] = {}
        for node in self.filled:
            rest = [other for other in self.nodes if other != node]
            if node not in self.why:
                without[node], why = self.fits.attempt(rest, 0, fold, full)
                if why:
                    self.why[node] = NONE + why
            self.count.trained()
        rivals = {node: model for node, model in without.items() if model is not None}
        jury = Jury(
            full=full.estimator,
            without=rivals,
            measure=self.measure,
            folds=self.fits.deals[0],
            fold=fold,
            nodes=tuple(self.nodes),
        )
        done = run(
            Plan(jury),
            self.fits.shards,
            self.fits.job.engine,
            schema=self.fits.schema,
            emit=self.fits.emit,
        )
        for node, (with_it, without_it) in jury.tallies(done.model).items():
            self._note(node, with_it, without_it)
        self.count.tested()

    def _note(self, node: str, with_it: Tally | None, without_it: Tally | None) -> None:
        """A (1 + GROUPS, 2) table of scores with and without the node, of the others' rows in this fold."""
        nothing = np.full(1 + GROUPS, np.nan)
        full = nothing if with_it is None else self.measure.scores(with_it)
        same = node not in self.filled  # who has no rows changes nothing
        left = full if same else nothing if without_it is None else self.measure.scores(without_it)
        self.tables[node].append(np.stack([full, left], axis=1))
        if with_it is not None:
            self.present[node] |= self.measure.present(with_it)

    def _worth(self, node: str) -> Worth:
        table = np.array(self.tables[node])
        if node in self.why:
            full = mean_over_folds(table[:, 0, :1])[0]
            return Worth(node=node, full=float(full), without=None, why=self.why[node])
        full, without = mean_over_folds(table[:, 0]).tolist()
        if np.isnan(full) or np.isnan(without):
            why = "the others' held-out rows have no score"
            return Worth(node=node, full=full, without=without, why=why)
        if node not in self.filled:
            return Worth(node=node, full=full, without=without, interval=Interval(0.0, 0.0, 0.0))
        left = np.array([mean_over_folds(table[:, 1 + g]) for g in np.flatnonzero(self.present[node])])
        covariance, bounds = jackknifed(left), bounds_of(self.scoring)
        rows = sum(int(self.fits.rows[other].sum()) for other in self.nodes if other != node)
        one, two = (
            score_interval(score, float(covariance[at, at]), groups=len(left), bounds=bounds, rows=rows)
            for at, score in enumerate((full, without))
        )
        interval = difference_interval(one, two, covariance, groups=len(left), bounds=bounds)
        return Worth(node=node, full=full, without=without, interval=interval)


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Jury(Learner):
    """Tests all models of a fold in one pass, each node's rows by every model but the one without the node.

    Args:
        full: the model of all nodes.
        without: node -> the model that never saw it.
        measure: what is worked out.
        folds: the deal into folds.
        fold: which one no model has seen.
        nodes: all nodes.
    """

    full: Any
    without: Mapping[str, Any]
    measure: Measure
    folds: Folds
    fold: int
    nodes: tuple[str, ...]
    kind: ClassVar[Kind] = "exact"

    def init(self, schema: Schema, rng: np.random.Generator) -> Scored:
        """Nothing is known."""
        del rng
        return Scored(schema)

    def work(self, model: Scored, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """The tallies of the node's held-out rows: "full:leaf", and "without:number:leaf" of other nodes."""
        del ctx
        rivals = [None, *(node for node in self.nodes if node in self.without and node != shard.name)]
        heads = [head(self.full if node is None else self.without[node]) for node in rivals]
        tallies: list[list[Tally]] = [[] for _ in rivals]
        deal, group = self.folds.dealer(shard.name), GROUP.dealer(shard.name)
        for block in shard.blocks():
            rows, groups = np.flatnonzero(deal(block) == self.fold), group(block)
            if not len(rows):
                continue
            part = take(block, rows)
            y = part.y if model.schema.classes is None else model.schema.classes[part.y]
            for (way, last), said in zip(heads, tallies, strict=True):
                said.append(self.measure.tally(last, way(part.X), np.asarray(y), part.w, groups[rows]))
        if not tallies[0]:
            return Update(), local
        me = self.nodes.index(shard.name)
        values: dict[str, np.ndarray] = {}
        for node, said in zip(rivals, tallies, strict=True):
            name = f"full:{me}" if node is None else f"without:{self.nodes.index(node)}"
            values |= {f"{name}:{leaf}": v for leaf, v in self.measure.join(said).items()}
        return Update(values=values, weight=1.0), local

    def merge(self) -> Merge:
        """A sum where tallies add; those of the model of all nodes stay apart by the node's number."""
        return Sum() if self.measure.adds else Gather()

    def outer(self) -> Outer:
        """One round."""
        return Solve(self.step)

    def step(self, model: Scored, update: Update) -> Scored:
        """Keep the tallies."""
        return Scored(model.schema, update)

    def finish(self, model: Scored) -> Any:
        """The tallies."""
        return self.tallies(model)

    def tallies(self, model: Scored) -> dict[str, tuple[Tally | None, Tally | None]]:
        """For each node those of the other nodes' rows, with it and without it; None where there are none."""
        said = model.sums or Update()
        parts = {"": said.values} if self.measure.adds else Gather.split(said)
        full: dict[int, dict[str, np.ndarray]] = {}
        without: dict[int, list[dict[str, np.ndarray]]] = {}
        for values in parts.values():
            mine: dict[tuple[str, int], dict[str, np.ndarray]] = {}
            for key, value in values.items():
                side, number, leaf = key.split(":")
                mine.setdefault((side, int(number)), {})[leaf] = value
            for (side, at), tally in mine.items():
                if side == "full":
                    full[at] = tally
                else:
                    without.setdefault(at, []).append(tally)
        return {
            node: (
                self._joined([tally for other, tally in full.items() if other != at]),
                self._joined(without.get(at, [])),
            )
            for at, node in enumerate(self.nodes)
        }

    def _joined(self, tallies: Sequence[Tally]) -> Tally | None:
        return self.measure.join(tallies) if tallies else None

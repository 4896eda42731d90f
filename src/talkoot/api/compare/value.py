"""What each node's data are worth to the others: leave-one-node-out, on held-out rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from sklearn.base import is_classifier, is_regressor

from talkoot.api.compare.comparison import Interval
from talkoot.api.compare.fold_fits import FoldFits
from talkoot.api.compare.intervals import bounds_of, difference_interval, score_interval
from talkoot.api.compare.worth import Value, Worth
from talkoot.api.job import Job
from talkoot.api.watching import Counter, model_counter
from talkoot.core.errors import DataError, PlanError
from talkoot.core.merge import Gather, Merge, Sum
from talkoot.core.query import Answer, Answers, Query
from talkoot.core.shard import Schema, Shard
from talkoot.data.samples.base import samples_of
from talkoot.learners.common.rows import take
from talkoot.learners.compose.transform import head
from talkoot.learners.held_out.folds import Folds, splits_of
from talkoot.learners.held_out.measures import GROUPS, Measure, Tally, measure_for
from talkoot.learners.held_out.scores import GROUP, jackknife_covariance, mean_over_folds

SCORES = ("accuracy", "neg_log_loss", "roc_auc", "average_precision")


def value(job: Job, model: Any, scoring: str | None, folds: int, progress: bool | None) -> Value:
    """What each node's data are worth to the others; see `Fit.value`."""
    name = type(model).__name__
    if job.elsewhere:
        raise PlanError(
            "what a site is worth shows in models with and without it, which differ by that site's sum",
            cure="Let each site see what it gains: tk.compare(...).",
        )
    if samples_of(job.shards):
        raise PlanError(
            f"{name} is a module of torch, and has no score of its own",
            cure="Fit without each node, and compare.",
        )
    if job.plan.learner.continues:
        raise PlanError(
            f"{name} goes on from an earlier fit (warm_start=True), which may have seen rows held out here",
            cure="Fit sklearn.base.clone(estimator), which begins with the first tree, and value that.",
        )
    splits = splits_of(folds, 1, job.plan.seed)
    if not (is_classifier(model) or is_regressor(model)):
        raise PlanError(f"{name} predicts nothing, so nothing can be scored")
    if any(link.sum_only for link in job.plan.chain):
        raise PlanError(
            "a node is worth the difference of sums with and without it, which masks are there to hide",
            cure="Leave mask() out, where the nodes agree to that.",
        )
    if len(job.shards) < 2:
        raise DataError("there is one node, so there are no others", cure="Fit over two nodes or more.")
    with model_counter(job, progress) as count, job.open(count.engine) as opened:
        scoring, measure = _measure(model, scoring, opened.schema)
        worths = LeaveOneOut(FoldFits.of(opened, splits), scoring, measure, count).run()
    highest_first = sorted(worths, key=lambda worth: (np.isnan(worth.value), -worth.value))
    return Value(scoring=scoring, nodes=tuple(highest_first), folds=folds)


def _measure(model: Any, scoring: str | None, schema: Schema) -> tuple[str, Measure]:
    """The score's name and its measure.

    Raises:
        PlanError: the score cannot be computed for such a model and such labels.
    """
    scores = SCORES if is_classifier(model) else ("r2",)
    usable = {name: measure for name in scores if (measure := measure_for(name, schema)) is not None}
    if not hasattr(model, "predict_proba"):
        usable.pop("neg_log_loss", None)
    scoring = scoring or scores[0]
    if scoring in usable:
        return scoring, usable[scoring]
    why = "is no score of held-out rows that can be computed here"
    if schema.classes is not None and scoring == "roc_auc":
        why = f"needs two classes, and there are {len(schema.classes)}"
    if schema.classes is not None and scoring == "average_precision":
        why = (
            f"needs two classes, of which 1 is the positive one, and the labels are {schema.classes.tolist()}"
        )
    raise PlanError(f"scoring={scoring!r} {why}", cure=f"Take {' or '.join(map(repr, usable))}.")


@final
class LeaveOneOut:
    """Trains and tests models with and without each node, fold by fold."""

    def __init__(self, fits: FoldFits, scoring: str, measure: Measure, count: Counter) -> None:
        self.fits, self.scoring, self.measure, self.count = fits, scoring, measure, count
        self.nodes = list(fits.rows)
        self.filled = [node for node in self.nodes if fits.rows[node].any()]
        self.why: dict[str, str] = {}
        self.tables: dict[str, list[np.ndarray]] = {node: [] for node in self.nodes}
        self.present = {node: np.zeros(GROUPS, dtype=bool) for node in self.nodes}

    def run(self) -> list[Worth]:
        """The worth of every node."""
        folds = self.fits.splits[0]
        self.count.begin(folds.count, 1 + len(self.filled))
        for fold in range(folds.count):
            self._test(fold)
        return [self._worth(node) for node in self.nodes]

    def _test(self, fold: int) -> None:
        """Train without one fold, then test on it."""
        full = self.fits.together(0, fold)
        self.count.trained()
        without: dict[str, Any] = {}
        for node in self.filled:
            rest = [other for other in self.nodes if other != node]
            if node not in self.why:
                without[node], why = self.fits.attempt(rest, 0, fold, full)
                if why:
                    self.why[node] = f"nothing can be learned without it: {why}"
            self.count.trained()
        scores = LeaveOneOutScores(
            full=full.estimator,
            without={node: model for node, model in without.items() if model is not None},
            measure=self.measure,
            folds=self.fits.splits[0],
            fold=fold,
            nodes=tuple(self.nodes),
            classes=self.fits.schema.classes,
        )
        for node, (with_it, without_it) in self.fits.opened.ask(scores).items():
            self._add_scores(node, with_it, without_it)
        self.count.tested()

    def _add_scores(self, node: str, with_it: Tally | None, without_it: Tally | None) -> None:
        """Add the (1 + GROUPS, 2) scores with and without the node, of the others' rows in this fold."""
        missing = np.full(1 + GROUPS, np.nan)
        full = missing if with_it is None else self.measure.scores(with_it)
        same = node not in self.filled  # a node without rows changes nothing
        left = full if same else missing if without_it is None else self.measure.scores(without_it)
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
        covariance, bounds = jackknife_covariance(left), bounds_of(self.scoring)
        rows = sum(int(self.fits.rows[other].sum()) for other in self.nodes if other != node)
        one, two = (
            score_interval(score, float(covariance[at, at]), groups=len(left), bounds=bounds, rows=rows)
            for at, score in enumerate((full, without))
        )
        interval = difference_interval(one, two, covariance, groups=len(left), bounds=bounds)
        return Worth(node=node, full=full, without=without, interval=interval)


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeaveOneOutScores(Query):
    """Tests all models of a fold in one pass, each node's rows by all but the one without the node."""

    full: Any  # the model of all nodes
    without: Mapping[str, Any]  # node -> the model trained without it
    measure: Measure  # computes the tallies
    folds: Folds  # the split into folds
    fold: int  # the fold that is held out
    nodes: tuple[str, ...]  # all nodes
    classes: np.ndarray | None  # of the target; None for numbers

    def answer(self, shard: Shard) -> Answer:
        """The tallies of the node's held-out rows: "full:leaf", and "without:number:leaf" of other nodes."""
        names = {f"full:{self.nodes.index(shard.name)}": self.full} | {
            f"without:{at}": self.without[node]
            for at, node in enumerate(self.nodes)
            if node in self.without and node != shard.name
        }
        heads = {name: head(fitted) for name, fitted in names.items()}
        tallies: dict[str, list[Tally]] = {name: [] for name in names}
        assign, group = self.folds.assigner(shard.name), GROUP.assigner(shard.name)
        for block in shard.blocks():
            rows, groups = np.flatnonzero(assign(block) == self.fold), group(block)
            if not len(rows):
                continue
            part = take(block, rows)
            y = np.asarray(part.y if self.classes is None else self.classes[part.y])
            for name, (transform_rows, last) in heads.items():
                X = transform_rows(part.X)
                tallies[name].append(self.measure.tally(last, X, y, part.w, groups[rows]))
        values: dict[str, np.ndarray] = {}
        for name, parts in tallies.items():
            if parts:
                values |= {f"{name}:{leaf}": v for leaf, v in self.measure.join(parts).items()}
        return values

    def merge(self) -> Merge:
        """A sum where tallies add; the leaves of the model of all nodes differ by the node's number."""
        return Sum() if self.measure.adds else Gather()

    def finish(self, model: Answers) -> dict[str, tuple[Tally | None, Tally | None]]:
        """For each node the tallies of the other nodes' rows, with it and without it; None without rows."""
        full: dict[int, Tally] = {}
        without: dict[int, list[Tally]] = {}
        for values in (model.nodes or {}).values():
            tallies: dict[tuple[str, int], dict[str, np.ndarray]] = {}
            for key, value in values.items():
                side, number, leaf = key.split(":")
                tallies.setdefault((side, int(number)), {})[leaf] = value
            for (side, at), tally in tallies.items():
                if side == "full":
                    full[at] = tally
                else:
                    without.setdefault(at, []).append(tally)
        return {
            node: (
                self._join([tally for other, tally in full.items() if other != at]),
                self._join(without.get(at, [])),
            )
            for at, node in enumerate(self.nodes)
        }

    def _join(self, tallies: Sequence[Tally]) -> Tally | None:
        return self.measure.join(tallies) if tallies else None

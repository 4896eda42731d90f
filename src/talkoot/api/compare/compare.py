"""tk.compare: does working together pay? Alone, together and pooled, node by node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from sklearn.base import is_classifier, is_regressor

from talkoot.api.compare.at_sites import compare_at_sites
from talkoot.api.compare.comparison import VARIANTS, Comparison, Row
from talkoot.api.compare.fold_fits import Fitted, FoldFits
from talkoot.api.compare.rows import NodeScores, row_of
from talkoot.api.compare.scoring import choose_scorer
from talkoot.api.job import Job, are_elsewhere, require_estimator, require_own_fit
from talkoot.api.sites import shards_on
from talkoot.api.verify.pooled_data import LIMIT, Pool, size
from talkoot.api.watching import Counter, model_counter
from talkoot.core.engine import Engine
from talkoot.core.errors import DataError, PlanError
from talkoot.core.plan import Plan
from talkoot.core.query import Answer
from talkoot.core.transform import Transform
from talkoot.learners import learner_for
from talkoot.learners.common.estimator import unfitted
from talkoot.learners.held_out.folds import splits_of
from talkoot.learners.held_out.scores import HeldOutScores, mean_scores
from talkoot.learners.held_out.site_scores import effective_rows


def compare(
    estimator: Any,
    data: Any,
    target: Any = None,
    *,
    by: str | None = None,
    encoding: str | None = None,
    missing: Sequence[str] | None = None,
    folds: int = 5,
    repeats: int = 1,
    scoring: Any = None,
    on: Engine | None = None,
    chain: Sequence[Transform] | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Comparison:
    """Does working together pay? Each node's held-out rows, predicted by four models.

    For every node: the model of its own rows alone, of all nodes together, of all nodes but this one
    (a site that joins with no rows of its own), and of all rows pooled on this machine by scikit-learn.
    Cross-validated: every node splits its own rows into folds, within each class; a score is the mean over
    folds. The 95% intervals cover the choice of held-out rows (a jackknife over each node's rows;
    differences are paired); those of a share are Wilson's, so they stay within 0 and 1. They do not cover
    that other training rows would give other models.

    Over a federation (``tk.dataset(...)``) two models are compared: each site learns the one of its own rows
    by itself, and its scores alone leave.

    Args:
        estimator: a classifier or regressor, a Pipeline included; what it has learned is left out.
        data: rows of two nodes or more; see `shards`.
        target: the target's column, unless `data` contains the targets.
        by: a column whose values name the nodes.
        encoding: how the text of CSV files is encoded, such as "cp1252"; UTF-8 by default.
        missing: texts that stand for a missing value, such as ``["?"]``.
        folds: parts that each node's rows are split into.
        repeats: number of random splits; more of them reduce the scores' variance.
        scoring: name of a scikit-learn scorer, or one made by `sklearn.metrics.make_scorer`, such as
            ``make_scorer(f1_score, pos_label="ill")``; area under the ROC curve for two classes, accuracy
            for more, R2 for numbers by default. As in `cross_val_score`.
        on: where the nodes are; chosen for the job and this machine by default.
        chain: over a federation, transforms of the sums of all, such as ``[tk.fixed(), tk.mask()]``.
        seed: of the splits.
        progress: show in the terminal how many models are trained and the time left; by default if there
            is one and it takes over a second.

    Returns:
        A `Comparison`: print it, or read its `rows`.

    Raises:
        DataError: fewer than two nodes, or rows that cannot be used.
        PlanError: too few folds or repeats, or a scorer that cannot score such models or labels.
        NotDistributable: no learner fits the estimator.

    >>> import numpy as np, talkoot as tk
    >>> from sklearn.linear_model import LinearRegression
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 3))
    >>> y = X @ [1.0, 2.0, 3.0] + rng.normal(size=60)
    >>> found = tk.compare(LinearRegression(), {"few": (X[:9], y[:9]), "many": (X[9:], y[9:])})
    >>> [row.node for row in found.rows], found.metric
    (['few', 'many'], 'r2')
    """
    require_estimator(estimator, "tk.compare")
    splits = splits_of(folds, repeats, seed)
    if not (is_classifier(estimator) or is_regressor(estimator)):
        raise PlanError(
            f"{type(estimator).__name__} predicts nothing", cure="Take a classifier or regressor."
        )
    unbound = shards_on(data, target, on, by=by, encoding=encoding, missing=missing)
    if len(unbound) < 2:
        cure = 'Give {"name": rows, ...}, or by= a column whose values name the nodes.'
        raise DataError("there is one node, so there is nothing to compare", cure=cure)
    learner = learner_for(unfitted(estimator))
    require_own_fit(learner, "tk.compare")
    plan = Plan(learner, chain=chain or (), seed=seed)
    if are_elsewhere(unbound):
        return compare_at_sites(plan, unbound, on, splits, scoring, progress)
    if chain:
        raise PlanError("chain= is for sites of a federation, and these rows are here", cure="Leave it out.")
    job = Job.place(plan, unbound, on, kind="compare")
    with model_counter(job, progress) as count, job.open(count.engine) as opened:
        scorer = choose_scorer(scoring, estimator, opened.schema)
        return Experiment(FoldFits.of(opened, splits), scorer, count).run()


@final
class Experiment:
    """Trains and tests all variants, fold by fold; `scoring` is the scorer, or its name."""

    def __init__(self, fits: FoldFits, scoring: Any, count: Counter) -> None:
        self.fits, self.scoring, self.count = fits, scoring, count
        self.nodes = list(fits.rows)
        self.why = dict.fromkeys(self.nodes, "")
        self.failed: set[tuple[str, str]] = set()  # (variant, node) that could not be trained in some fold
        self.tests: dict[str, list[Answer]] = {node: [] for node in self.nodes}

    def run(self) -> Comparison:
        """Train and test all models."""
        splits, schema = self.fits.splits, self.fits.schema
        pooled = size(schema) <= LIMIT
        note = f"pooled is left out: it would take {size(schema) / 2**30:.1f} GB in this process."
        self.count.begin(len(splits) * splits[0].count, 2 * len(self.nodes) + 1 + pooled)
        for repeat, folds in enumerate(splits):
            for fold in range(folds.count):
                self._test(repeat, fold, pooled)
        return Comparison(
            rows=tuple(self._row(node) for node in self.nodes),
            metric=str(self.scoring),
            folds=splits[0].count,
            repeats=len(splits),
            notes=() if pooled else (note,),
        )

    def _test(self, repeat: int, fold: int, pooled: bool) -> None:
        """Train without one fold, then test on it."""
        fits, nodes = self.fits, self.nodes
        together = fits.together(repeat, fold)
        self.count.trained()
        pool = None
        if pooled:
            pool = Pool.of(fits.parts(repeat, fold), fits.schema).fit(fits.opened.job.estimator)
            self.count.trained()
        models: dict[str, list[Any]] = {}
        for node in nodes:
            alone, why = self._attempt("alone", node, [node], repeat, fold)
            self.why[node] = self.why[node] or (f"cannot learn alone: {why}" if why else "")
            rest = [other for other in nodes if other != node]
            left_out, _ = self._attempt("left out", node, rest, repeat, fold, together)
            models[node] = [alone, together.estimator, left_out, pool]
        test = HeldOutScores(folds=fits.splits[repeat], fold=fold, scoring=self.scoring, schema=fits.schema)
        for node, answer in fits.opened.ask(test, models).items():
            self.tests[node].append(answer)
        self.count.tested()

    def _attempt(
        self,
        variant: str,
        node: str,
        nodes: Sequence[str],
        repeat: int,
        fold: int,
        warm_start: Fitted | None = None,
    ) -> tuple[Any, str]:
        self.count.trained()
        if (variant, node) in self.failed:
            return None, ""
        model, why = self.fits.attempt(nodes, repeat, fold, warm_start)
        if model is None:
            self.failed.add((variant, node))
        return model, why

    def _row(self, node: str) -> Row:
        counts = self.fits.rows[node][0].sum(axis=0)
        rows = int(counts.sum())
        if not rows:
            return Row(node=node, rows=0, scores={}, gain=None, why="has no rows")
        trained = np.array([(variant, node) not in self.failed for variant in VARIANTS])
        found = NodeScores(*mean_scores(self.tests[node], trained), effective_rows(counts, self.scoring))
        return row_of(node, rows, found, self.scoring, self.why[node])

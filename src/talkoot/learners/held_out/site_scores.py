"""What working together brings to a site, computed at the site: its scores leave, and no model of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from talkoot.core.engine import Nodes
from talkoot.core.errors import DataError, TalkootError
from talkoot.core.here import OneNode
from talkoot.core.plan import Plan
from talkoot.core.query import Answer, Answers, Query
from talkoot.core.run import run_on
from talkoot.core.shard import Mapped, Schema, Shard
from talkoot.core.transform import Transform
from talkoot.data.inventory import LABELS
from talkoot.data.schema import Bind
from talkoot.guards.fixed import chain_of_sums
from talkoot.learners import learner_for
from talkoot.learners.held_out.folds import (
    Folds,
    Part,
    Relabel,
    TrainingRows,
    training_schema,
    without_missing_classes,
)
from talkoot.learners.held_out.scores import FoldCounts, HeldOutScores, mean_scores, scored_folds


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SiteScores(Query):
    """Scores the models that all have learned without a fold on the site's rows of it, and the site's own.

    The models are asked about: for each split and fold the one of all sites. The site learns a model of its
    own rows alone, in its own process. Means over folds leave, none of fewer rows than `least`.
    """

    unfitted: Any  # the estimator
    splits: tuple[Folds, ...]  # into folds, one for each repeat
    scoring: str  # a scorer's name
    least: int = LABELS  # rows that a score must be of, or of the rarest class; else it stays at the site

    def answer(self, shard: Shard) -> Answer:
        """Without models nothing is scored."""
        del shard
        return {}

    def answer_about(self, question: Sequence[Sequence[Any]], shard: Shard, schema: Schema) -> Answer:
        """The site's scores; nothing where it has no rows.

        Returns:
            rows: the site's.
            effective: rows that the scores' precision depends on, 0 for fewer than `least`.
            scores: (2,) means over folds, alone and together; NaN for none.
            covariance: (2, 2) of both.
            groups: of the jackknife.
            why: what keeps the site from learning alone, or from showing its scores; empty if nothing does.
        """
        self._require_models(question)
        (counted,) = FoldCounts(splits=self.splits, classes=classes_of(schema)).answer(shard).values()
        rows = int(counted[0].sum())
        if not rows:
            return {}
        tests, why = self._tests(question, shard, schema, counted)
        trained = np.array([not why, True])
        scores, covariance, groups = mean_scores(tests, trained)
        scored = scored_folds(tests, trained).reshape(len(self.splits), -1, 1)
        effective = effective_rows(np.where(scored, counted, 0).sum(axis=1).max(axis=0), self.scoring)
        if effective < self.least:
            scores, covariance, effective = np.full(2, np.nan), np.full((2, 2), np.nan), 0
            if scored.any():
                why = f"has fewer than {self.least} rows of a label, so its scores stay there"
        return {
            "rows": np.array([rows]),
            "effective": np.array([effective]),
            "scores": scores,
            "covariance": covariance,
            "groups": np.array([groups]),
            "why": np.array([why], dtype=str),
        }

    def _require_models(self, models: Sequence[Sequence[Any]]) -> None:
        kinds = [[type(self.unfitted)] * folds.count for folds in self.splits]
        if [[type(model) for model in each] for each in models] != kinds:
            raise DataError(f"the models to score are not one {type(self.unfitted).__name__} a fold")

    def _tests(
        self, models: Sequence[Sequence[Any]], shard: Shard, schema: Schema, counted: np.ndarray
    ) -> tuple[list[Answer], str]:
        """The scores of all folds, and why there is no model of the site's rows alone."""
        tests, why = list[Answer](), ""
        for folds, counts, shared in zip(self.splits, counted, models, strict=True):
            for fold, together in enumerate(shared):
                alone = None
                if not why:
                    alone, why = self._alone(Part(shard=shard, folds=folds, fold=fold), counts, schema)
                test = HeldOutScores(folds=folds, fold=fold, scoring=self.scoring, schema=schema)
                tests.append(test.answer_about({shard.name: [alone, together]}, shard, schema))
        return tests, why

    def _alone(self, part: Part, counts: np.ndarray, schema: Schema) -> tuple[Any, str]:
        """The model of a site's rows without a fold, or None and the reason, without values of rows."""
        try:
            own, index = without_missing_classes(schema, counts.sum(axis=0) - counts[part.fold])
        except DataError:
            return None, "cannot learn alone: all its rows have one label"
        plan = Plan(learner_for(self.unfitted), seed=self.splits[0].seed)
        rows = part if index is None else Mapped(part, Relabel(index))
        try:
            return plan.learner.finish(run_on(OneNode(rows), plan, schema=own).model), ""
        except TalkootError as error:
            return None, f"cannot learn alone: it ended with a {type(error).__name__}"


def classes_of(schema: Schema) -> int:
    """The number of classes; 1 where there are none."""
    return 1 if schema.classes is None else len(schema.classes)


def effective_rows(counts: np.ndarray, scoring: Any) -> int:
    """Rows that a score's precision depends on: of an accuracy all, of others those of the rarest class.

    >>> effective_rows(np.array([90, 10, 0]), "accuracy"), effective_rows(np.array([90, 10, 0]), "roc_auc")
    (100, 10)
    """
    return int(counts.sum() if scoring == "accuracy" else counts[counts > 0].min(initial=counts.sum()))


def score_at_sites(
    nodes: Nodes,
    plan: Plan,
    view: Bind,
    splits: tuple[Folds, ...],
    scoring: str,
    trained: Callable[[], None] = lambda: None,
) -> Mapping[str, Answer]:
    """Learn from all sites without each fold in turn, then have each site score these models and its own.

    Args:
        nodes: the sites.
        plan: what is learned, by the plan's chain.
        view: of all rows.
        splits: into folds, one for each repeat.
        scoring: a scorer's name.
        trained: called after each model.

    Returns:
        The answers of `SiteScores`, by site.

    Raises:
        DataError: without a fold the rows of all sites have one label.
    """
    schema, chain = view.schema, chain_of_sums(plan.chain)

    def ask(query: Query, about: Any = None, links: tuple[Transform, ...] = ()) -> Mapping[str, Answer]:
        start = Answers(about=about)
        done = run_on(nodes, Plan(query, chain=links), schema=schema, view=view, model=start)
        return query.finish(done.model)

    total = FoldCounts(splits=splits, classes=classes_of(schema), total=True)
    (counted,) = ask(total, links=chain)[""].values()
    models: list[list[Any]] = []
    for folds, counts in zip(splits, counted, strict=True):
        models.append([])
        for fold in range(folds.count):
            known, index = training_schema(schema, counts, fold)
            training = TrainingRows(view=view, folds=folds, fold=fold, index=index)
            models[-1].append(plan.learner.finish(run_on(nodes, plan, schema=known, view=training).model))
            trained()
    return ask(
        SiteScores(unfitted=getattr(plan.learner, "estimator", None), splits=splits, scoring=scoring), models
    )

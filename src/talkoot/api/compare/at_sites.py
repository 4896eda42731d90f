"""tk.compare where rows are those of other organisations: each site learns alone by itself, and scores."""

from __future__ import annotations

from typing import Any

from talkoot.api.compare.comparison import Comparison, Row
from talkoot.api.compare.rows import NodeScores, row_of
from talkoot.api.compare.scoring import choose_scorer, require_known_scorer
from talkoot.api.job import Job
from talkoot.api.watching import model_counter
from talkoot.core.engine import Engine
from talkoot.core.errors import PlanError
from talkoot.core.plan import Plan
from talkoot.core.query import Answer
from talkoot.data.shards import Shards
from talkoot.learners.held_out.folds import Folds
from talkoot.learners.held_out.site_scores import score_at_sites

NOTES = (
    "alone: each site learned from its own rows by itself; the model stayed there, and the scores left.",
    "left out is not here: models with and without a site would show that site's sums.",
    "pooled is not here: the rows stay at the sites.",
)


def compare_at_sites(
    plan: Plan,
    shards: Shards,
    on: Engine | None,
    splits: tuple[Folds, ...],
    scoring: Any,
    progress: bool | None,
) -> Comparison:
    """Alone and together, site by site; see `compare`.

    Raises:
        PlanError: a scorer that has no name, or is not known.
    """
    if not isinstance(scoring, str | None):
        raise PlanError(
            f"scoring={scoring!r} cannot travel to the sites",
            cure="Give the name of a scorer, such as 'f1_macro'.",
        )
    if scoring is not None:
        require_known_scorer(scoring)
    terms: dict[str, str | int] = {
        "folds": splits[0].count,
        "repeats": len(splits),
        "seed": splits[0].seed,
        "scoring": scoring or "",
    }
    job = Job.place(plan, shards, on, kind="compare", terms=terms)
    with model_counter(job, progress) as count, job.open(count.engine) as opened:
        assert opened.nodes is not None
        assert opened.view is not None
        metric = choose_scorer(scoring, job.estimator, opened.schema)
        count.begin(len(splits) * splits[0].count, 1)

        def trained() -> None:
            count.trained()
            count.tested()

        answers = score_at_sites(opened.nodes, plan, opened.view, splits, metric, trained)
    return Comparison(
        rows=tuple(_row(site, answers.get(site), metric) for site in shards),
        metric=metric,
        folds=splits[0].count,
        repeats=len(splits),
        notes=NOTES,
    )


def _row(site: str, answer: Answer | None, metric: str) -> Row:
    if answer is None:
        return Row(node=site, rows=0, scores={}, gain=None, why="has no rows")
    rows, effective, groups = (int(answer[name][0]) for name in ("rows", "effective", "groups"))
    found = NodeScores(answer["scores"], answer["covariance"], groups, effective)
    return row_of(site, rows, found, metric, str(answer["why"][0]))

"""What a node of LightGBM's does in a round, or the process that it is in."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.common.group import (
    NO_ROWS,
    Group,
    Rows,
    gathered,
    group_of,
    pooled,
    threads,
    with_held_out,
)
from talkoot.learners.common.queries import by_query, ranks, require_ids
from talkoot.learners.common.rows import concatenate, require_weights
from talkoot.learners.trees.boosting.validation import Validation, training_rows, validation_rows
from talkoot.learners.trees.held_out import require_weight

BOOSTER = "booster"  # a leaf: the trees, as LightGBM's text
STOPPED = "stopped"  # a leaf: which iteration was the best, and the scores of the rows held out, in JSON


@final
@dataclass(frozen=True, slots=True)
class Gather:
    """Nodes of a process bring their rows together.

    Args:
        key: names the run.
        validation: the rows that are held out, if some are.
    """

    key: str
    validation: Validation | None = None


@final
@dataclass(frozen=True, slots=True, eq=False)
class Train:
    """The process trains on the rows of all nodes.

    Args:
        key: names the run.
        step: rises with each round.
        processes: nodes of each process, by its name.
    """

    key: str
    step: int
    processes: Mapping[str, int]


def gather(question: Gather, local: Any, shard: Shard, ctx: Ctx, estimator: Any) -> tuple[Update, Any]:
    """A node joins the group of its process."""

    def read(every: Shard) -> Rows | None:
        rows = _rows(training_rows(every, question.validation, ctx), ctx.schema, estimator)
        if question.validation is None:
            return rows
        held = _rows(validation_rows(every, question.validation, ctx), ctx.schema, estimator)
        return rows if held is None else with_held_out(rows, held)

    return gathered(question.key, Group, local, shard, read)


def _rows(shard: Shard, schema: Schema, estimator: Any) -> Rows | None:
    """All rows of a node, with its labels as they are; None if it has none."""
    blocks = [block for block in shard.blocks() if len(block)]
    if not blocks:
        return None
    block = concatenate(blocks)
    require_weights(block.w, estimator)
    require_ids(block.qid, estimator)
    y = np.asarray(block.y).reshape(-1)
    y = y if schema.classes is None else schema.classes[y]
    return Rows(np.asarray(block.X), y, block.w, block.qid if ranks(estimator) else None)


def train(question: Train, local: Any, ctx: Ctx, estimator: Any) -> tuple[Update, Any]:
    """What LightGBM learns from the rows of a process, by the first of its nodes; nothing by the others."""
    if local == NO_ROWS:
        return Update(), local
    group = local if isinstance(local, Group) else group_of(question.key, Group)
    if not group.begins(question.step) or question.processes.get(group.token) != len(group.rows):
        return Update(), group
    rows = pooled(group.take(), ctx.cohort)
    model = fitted(estimator, rows, ctx.schema)
    values = {BOOSTER: as_octets(model.booster_.model_to_string(num_iteration=-1))}
    if rows.held_out is not None:
        facts = (model.best_iteration_, model.best_score_, model.evals_result_)
        values[STOPPED] = as_octets(json.dumps(facts))
    return Update(values=values), group


def as_octets(text: str) -> np.ndarray:
    """A text as a leaf."""
    return np.frombuffer(text.encode(), np.uint8)


def fitted(estimator: Any, rows: Rows, schema: Schema, **changed: Any) -> Any:
    """A clone of the estimator, fitted by its own code.

    Raises:
        DataError: LightGBM refuses parameters, columns or the target.
    """
    from lightgbm.basic import LightGBMError

    count = threads(estimator.n_jobs)
    params = {k: v for k, v in estimator.get_params(deep=False).items() if k != "validation_fraction"}
    made = type(estimator)(**clone(params, safe=False)).set_params(n_jobs=count, **changed)
    queries: dict[str, Any] = {} if rows.qid is None else {"group": by_query(rows.qid)[1]}
    if (held := rows.held_out) is not None:
        require_weight(held.w)
        queries = {"eval_set": [(held.X, held.y)], "eval_sample_weight": None if held.w is None else [held.w]}
    names = "auto" if schema.names is None else list(schema.names)
    try:
        with threadpool_limits(limits=count, user_api="openmp"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of aliases, which a fit of one machine also prints
            return made.fit(rows.X, rows.y, sample_weight=rows.w, feature_name=names, **queries)
    except (LightGBMError, TypeError, ValueError) as error:
        raise DataError(f"{type(estimator).__name__} refuses: {error}") from error

"""What a node of LightGBM's does in a round, or the process that it is in."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    Rows,
    gathered,
    group_of,
    pooled,
    threads,
    with_held_out,
)
from talkoot.learners.common.queries import by_query, ranks, require_ids
from talkoot.learners.common.rows import concatenate, require_weights
from talkoot.learners.lightgbm.accepted import patience
from talkoot.learners.lightgbm.group import Boosters
from talkoot.learners.lightgbm.mesh import PeerLost, decline
from talkoot.learners.lightgbm.rules import settings_of
from talkoot.learners.lightgbm.several import (
    ADDRESS,
    BOOSTER,
    CLASSES,
    DONE,
    DTYPE,
    FAILED,
    ROWS,
    SAMPLE,
    SUMS,
    WEIGHTED,
    Bin,
    Grow,
    Sample,
)
from talkoot.learners.trees.boosting.validation import Validation, training_rows, validation_rows
from talkoot.learners.trees.held_out import require_weight

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

    update, state = gathered(question.key, Boosters, local, shard, read)
    if not isinstance(state, Boosters):
        return update, state
    return Update(values={**update.values, **_profile(shard.name, state, ctx)}), state


def _profile(node: str, group: Boosters, ctx: Ctx) -> dict[str, np.ndarray]:
    """What several processes must agree on, of the rows of a node."""
    rows, classes = group.rows[node], ctx.schema.classes
    values = {
        f"{ROWS}{group.token}:{node}": np.array([len(rows.y), ctx.cohort.index(node)]),
        f"{DTYPE}{rows.X.dtype.str}": np.ones(1),
        WEIGHTED: np.array([rows.w is not None], dtype=np.float64),
    }
    if classes is None:
        return values
    return values | {CLASSES: np.bincount(np.searchsorted(classes, rows.y), minlength=len(classes))}


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
    group = local if isinstance(local, Boosters) else group_of(question.key, Boosters)
    if not group.begins(question.step) or question.processes.get(group.token) != len(group.rows):
        return Update(), group
    rows = pooled(group.take(), ctx.cohort)
    model = fitted(estimator, rows, ctx.schema)
    values = {BOOSTER: as_octets(model.booster_.model_to_string(num_iteration=-1))}
    if rows.held_out is not None:
        facts = (model.best_iteration_, model.best_score_, model.evals_result_)
        values[STOPPED] = as_octets(json.dumps(facts))
    return Update(values=values), group


def take_part(question: Sample | Bin | Grow, local: Any, ctx: Ctx, estimator: Any) -> tuple[Update, Any]:
    """What a process does among several, by the first of its nodes; nothing by the others.

    Raises:
        DataError: LightGBM refuses the rows.
    """
    from lightgbm.basic import LightGBMError

    if local == NO_ROWS:
        return Update(), local
    group = local if isinstance(local, Boosters) else group_of(question.key, Boosters)
    if not group.begins(question.step):
        return Update(), group
    try:
        return Update(values=_part(question, group, ctx.schema, estimator)), group
    except PeerLost as error:
        assert isinstance(question, Grow)
        return Update(values={f"{FAILED}node {question.nodes[error.rank]} {error}": np.ones(1)}), group
    except BaseException as error:
        group.forget()  # so that the others do not wait
        if isinstance(error, LightGBMError):
            raise DataError(f"{type(estimator).__name__} refuses: {error}") from error
        raise


def _part(
    question: Sample | Bin | Grow, group: Boosters, schema: Schema, estimator: Any
) -> dict[str, np.ndarray]:
    """The leaves of a process that did its part; none where it lost what it had."""
    settings, done = settings_of(estimator, small_fit(estimator, schema)), {DONE: np.ones(1)}
    if isinstance(question, Sample):
        if question.processes.get(group.token) != len(group.nodes):
            return {}
        rows, sums = group.sample(question, schema, settings)
        samples = {f"{SAMPLE}{node}": np.frombuffer(each, np.uint8) for node, each in rows.items()}
        return {**done, **samples, f"{SUMS}{group.token}": np.frombuffer(sums, np.uint8)}
    if group.token not in question.processes:
        if isinstance(question, Grow):
            decline(question.key, question.addresses)
        return {}
    if isinstance(question, Bin):
        if not group.bin(question.reference, question.start, schema, settings):
            return {}
        return {**done, f"{ADDRESS}{group.token}": as_octets(group.listen(question.processes))}
    text = group.grow(question, estimator, settings)
    if text is None:
        return {}
    return {**done, BOOSTER: as_octets(text)} if text else done


def small_fit(estimator: Any, schema: Schema) -> Any:
    """The estimator fitted to rows of zeros, which LightGBM refuses as it would refuse all rows."""
    ranked = ranks(estimator)
    y = np.array([0.0 if ranked else 0.5, 1.0]) if schema.classes is None else schema.classes
    rows = Rows(np.zeros((len(y), schema.features)), y, None, np.zeros(2, int) if ranked else None)
    rows = replace(rows, held_out=rows) if patience(estimator) else rows
    return fitted(estimator, rows, schema, n_estimators=1, verbose=-1)


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

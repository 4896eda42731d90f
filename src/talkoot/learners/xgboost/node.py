"""What a node of XGBoost's does in a round, or the process that it is in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.common.group import NO_ROWS, group_of, octets, threads
from talkoot.learners.common.group import gathered as gathered_in
from talkoot.learners.trees.boosting.validation import Validation
from talkoot.learners.xgboost.collective import Address, cause, declined
from talkoot.learners.xgboost.group import Boosters
from talkoot.learners.xgboost.rows import Binning, parts_of

# leaves of updates
DONE = "done"  # how many processes did what the question wants
FAILED = "failed:"  # how many processes failed, by the reason
BOOSTER = "booster"  # the trees, of one process
HISTORY = "history"  # the scores of the rows held out, as XGBoost lists them, in JSON
HOST, PORT = "host", "port"  # where processes meet next


@final
@dataclass(frozen=True, slots=True)
class Gather:
    """Nodes of a process bring their rows together.

    Args:
        key: names the run.
    """

    key: str


@final
@dataclass(frozen=True, slots=True, eq=False)
class Bin:
    """Each process puts its rows into bins.

    Args:
        key: names the run.
        step: rises with each round.
        processes: nodes of each process, by its name.
        cuts: for each column its cut points.
        weighted: whether some node has sample weights.
    """

    key: str
    step: int
    processes: Mapping[str, int]
    cuts: tuple[np.ndarray, ...]
    weighted: bool


@final
@dataclass(frozen=True, slots=True, eq=False)
class Grow:
    """Processes grow trees together.

    Args:
        key: names the run.
        step: rises with each round.
        processes: nodes of each process, by its name.
        trees: how many iterations there are, and how many there are to be.
        known: those that there are, as bytes; empty where processes have them.
        meeting: where processes meet; None for a single one.
    """

    key: str
    step: int
    processes: Mapping[str, int]
    trees: tuple[int, int]
    known: bytes
    meeting: Address | None


def gathered(
    question: Gather, local: Any, shard: Shard, ctx: Ctx, estimator: Any, validation: Validation | None
) -> tuple[Update, Any]:
    """A node joins the group of its process."""
    read = partial(parts_of, validation=validation, ctx=ctx, estimator=estimator)
    return gathered_in(question.key, Boosters, local, shard, read)


def done(question: Bin | Grow, local: Any, schema: Schema, estimator: Any) -> tuple[Update, Any]:
    """What a process is to do, by the first of its nodes; nothing by the others."""
    if local == NO_ROWS:
        return Update(), local
    group = local if isinstance(local, Boosters) else group_of(question.key, Boosters)
    if not group.begins(question.step):
        return Update(), group
    whole = question.processes.get(group.token) == len(group.nodes)
    if isinstance(question, Bin):
        return _binned(group, question, schema, estimator) if whole else Update(), group
    if not whole:
        return _absent(question), group
    return _grown(group, question, params(estimator, schema), estimator.early_stopping_rounds), group


def bins(estimator: Any) -> int:
    """How many bins a column has at most."""
    return 256 if estimator.max_bin is None else int(estimator.max_bin)


def params(estimator: Any, schema: Schema) -> dict[str, Any]:
    """The parameters of XGBoost, as the estimator's own fit makes them."""
    found = estimator.get_xgb_params()
    if schema.classes is not None and len(schema.classes) > 2:
        found["num_class"] = len(schema.classes)
        if found["objective"] != "multi:softmax":
            found["objective"] = "multi:softprob"
    others = {
        "n_jobs",
        "validation_fraction",
        *({"eval_metric"} if estimator.early_stopping_rounds is None else ()),
    }
    own = {
        name: value
        for name, value in found.items()
        if name not in others and (name != "eval_metric" or value)
    }
    return own | {"nthread": threads(estimator.n_jobs)}


def _binned(group: Boosters, question: Bin, schema: Schema, estimator: Any) -> Update:
    how = Binning(
        question.cuts,
        schema.names,
        bins(estimator),
        outputs=1 if schema.classes is None else len(schema.classes),
        weighted=question.weighted,
        threads=threads(estimator.n_jobs),
    )
    group.build(how, estimator)
    return Update(values={DONE: np.ones(1), **_meeting(group, question.processes)})


def _grown(group: Boosters, question: Grow, own: Mapping[str, Any], patience: int | None) -> Update:
    from xgboost.core import XGBoostError

    rank = sorted(question.processes).index(group.token)
    meeting = None if question.meeting is None else (question.meeting, rank)
    try:
        booster = group.train(own, question.trees, question.known, meeting, patience)
    except XGBoostError as error:
        if meeting is None:
            raise DataError(f"XGBoost refuses: {cause(error)}") from error
        return Update(values={f"{FAILED}{cause(error)}": np.ones(1)})
    if booster is None:
        return _absent(question)
    values = {DONE: np.ones(1)}
    if patience is not None:
        values[HISTORY] = np.frombuffer(json.dumps(group.history).encode(), np.uint8)
    if rank == 0:
        values[BOOSTER] = np.frombuffer(bytes(booster.save_raw("ubj")), np.uint8)
        if group.tracker is not None:
            group.tracker.wait()
        values |= _meeting(group, question.processes)
    return Update(values=values)


def _absent(question: Grow) -> Update:
    """The answer of a process that lost its rows or trees, with which the others cannot go on."""
    if question.meeting is not None:
        declined(question.meeting, len(question.processes))
    return Update()


def _meeting(group: Boosters, processes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Where processes meet next, of the first of them; nothing where there is but one."""
    if len(processes) == 1 or min(processes) != group.token:
        return {}
    alone = len({name.rpartition("/")[0] for name in processes}) == 1
    address = group.meet(len(processes), alone=alone)
    return {HOST: np.frombuffer(address.host.encode(), np.uint8), PORT: np.array([address.port])}


def address(values: Mapping[str, np.ndarray]) -> Address | None:
    """Where processes meet next; None where there is but one."""
    return Address(octets(values[HOST]).decode(), int(values[PORT][0])) if HOST in values else None

"""tk.verify: checks on the user's data that nodes give the same answer as one machine with all rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import is_regressor
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import HuberRegressor

from talkoot.api.job import Job, require_estimator, require_own_fit
from talkoot.api.verify import single_machine
from talkoot.api.verify.attributes import align_signs, fitted_attributes, relative_difference
from talkoot.api.verify.optimum import STALLS, seeded, stalling, tightened
from talkoot.api.verify.pooled_data import LIMIT, Pool, size
from talkoot.api.verify.verification import Check, Shortfall, Verification
from talkoot.core.engine import Engine, Run
from talkoot.core.errors import DataError, PlanError
from talkoot.core.plan import Plan
from talkoot.core.shard import Schema
from talkoot.data.shards import Shards, shards
from talkoot.learners import learner_for
from talkoot.learners.common.estimator import unfitted
from talkoot.watch import words

CLOSED, ITERATED, SINGLE = 1e-9, 1e-6, 5e-7
INEXACT = {  # estimator -> how far from the optimum a solver stops whatever its tolerance, and whose solver
    HuberRegressor: (1e-2, "scikit-learn"),
}
ROWS = 10_000  # at most, to compare predictions on
LOCATIONS = ("mean_", "means_", "xbar_", "theta_", "intercept_")  # may be 0 but for rounding
ROUNDING = 64 * np.finfo(np.float64).eps
BAGGED = (
    "All rows were at one node: trees of several nodes make another forest. tk.compare says how it predicts."
)
RESPONSES = ("predict", "predict_proba", "decision_function", "transform")


def verify(
    estimator: Any,
    data: Any,
    target: Any = None,
    *,
    weight: Any = None,
    by: str | None = None,
    columns: Sequence[Any] | None = None,
    encoding: str | None = None,
    missing: Sequence[str] | None = None,
    nodes: Sequence[int] = (1, 2, 3, 7),
    on: Engine | None = None,
    seed: int = 0,
) -> Verification:
    """Fit by scikit-learn alone on all rows, and over nodes in several layouts; compare the results.

    scikit-learn's rows are read by pandas and pyarrow, Talkoot's by its own readers: a column that one of
    them leaves out, or reads differently, shows as a difference.

    The layouts: the nodes as in `data`, if there are several; all rows split over so many nodes; and
    the last of those with one more node that has no rows. A difference is the largest of an array,
    relative to its largest number. Allowed are 1e-9 where one round of sums determines the answer, 1e-6 where
    a solver iterates (both sides then stop at ``tol=1e-10``; how far from that optimum each stops at the
    estimator's own tolerance is shown as well), and 5e-7 where results are float32. Quantiles are those of
    all rows on both sides (``subsample=None``).

    A forest depends on which node has which rows. So it is compared with all rows at one node, where it has
    scikit-learn's trees, both with ``random_state=seed`` where it has none.

    Args:
        estimator: a scikit-learn estimator; what it has learned is left out.
        data: rows that fit this process; see `shards`.
        target: the target's column, or an array.
        weight: the column of sample weights, or an array.
        by: a column whose values name the nodes.
        columns: the feature columns; all others by default.
        encoding: how the text of CSV files is encoded, such as "cp1252"; UTF-8 by default.
        missing: texts that stand for a missing value, such as ``["?"]``.
        nodes: numbers of nodes to split the rows over.
        on: where the nodes are; chosen for the job and this machine by default.
        seed: all random numbers of Talkoot's fits follow from it.

    Returns:
        A `Verification`: print it, or read its `ok`.

    Raises:
        DataError: the rows do not fit this process, or cannot be used.
        PlanError: no numbers of nodes.
        NotDistributable: no learner fits the estimator.

    >>> import numpy as np, talkoot as tk
    >>> from sklearn.linear_model import Ridge
    >>> X = np.random.default_rng(0).normal(size=(30, 3))
    >>> found = tk.verify(Ridge(), X, X[:, 0], nodes=(1, 2))
    >>> found.ok, found.checks[0].name, list(found.checks[0].apart)
    (True, 'coef_', ['1 node', '2 nodes', '2 + empty'])
    """
    require_estimator(estimator, "tk.verify")
    if not nodes:
        raise PlanError("nodes= names no number of nodes", cure="Write nodes=(1, 2, 3), for example.")
    unbound = shards(data, target, weight=weight, by=by, columns=columns, encoding=encoding, missing=missing)
    estimator = unfitted(estimator)
    learner = learner_for(estimator)
    require_own_fit(learner, "tk.verify")
    split = learner.may_split
    estimator = estimator if split else seeded(estimator, seed)
    job = Job.place(Plan(learner_for(estimator), seed=seed), unbound, on)
    with job.open() as opened:
        schema, bound = opened.schema, opened.shards
    _require_room(schema)
    csv = {"encoding": encoding or "utf-8", "na_values": missing}
    pool, notes = _pool(data, bound, schema, target=target, weight=weight, by=by, columns=columns, **csv)
    notes += [] if split else [BAGGED]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # some solvers cannot reach the tight tolerance
        plain = pool.double().fit(estimator)
        tight, settings = tightened(estimator, plain)
        reference = pool.double().fit(tight) if settings else plain
        exact = replace(job, plan=Plan(learner_for(tight), seed=seed))
        layouts = _layouts(unbound, pool, nodes) if split else _single_node(pool)
        runs = {name: _run(exact, layout) for name, layout in layouts.items()}
    models = {layout: job.plan.learner.finish(run.model) for layout, run in runs.items()}
    rows = pool.take(slice(None, None, -(-schema.rows // ROWS))).X
    shortfalls: tuple[Shortfall, ...] = ()
    checks = tuple(_checks(reference, models, rows, _allowed(tight, models, "tol" in settings)))
    if "tol" in settings and all(check.ok for check in checks):
        own = job.plan.learner.finish(_run(job, unbound).model)
        shortfalls = tuple(_shortfalls(reference, plain, own, rows))
    return Verification(
        estimator=type(estimator).__name__,
        checks=checks,
        shortfalls=shortfalls,
        notes=(*notes, *_notes(tight, settings)),
        where="over nodes" if split else "at one node",
    )


def _require_room(schema: Schema) -> None:
    if size(schema) > LIMIT:
        raise DataError(
            f"the rows take {size(schema) / 2**30:.1f} GB, and scikit-learn would need them in this process",
            cure="Verify on a part of the rows.",
        )


def _pool(data: Any, bound: Shards, schema: Schema, **roles: Any) -> tuple[Pool, list[str]]:
    """The rows as one machine reads them, and a note where Talkoot's own readers had to read them."""
    if isinstance(data, Shards):
        return Pool.of(bound, schema), ["Both sides were read by Talkoot: pass the data, not shards of them."]
    try:
        pool = single_machine.read(data, **roles)
        return pool, list(_odd_columns(getattr(pool.X, "columns", None), schema.names))
    except ModuleNotFoundError as error:
        return Pool.of(bound, schema), [f"Both sides were read by Talkoot, as {error.name} is not installed."]


def _odd_columns(alone: Any, nodes: Sequence[str] | None) -> Iterator[str]:
    """A note on columns that only one side has."""
    if alone is None or nodes is None:
        return
    ours, theirs = dict.fromkeys(nodes), dict.fromkeys(map(str, alone))
    only = {"pandas": [k for k in theirs if k not in ours], "Talkoot": [k for k in ours if k not in theirs]}
    for reader, odd in only.items():
        if odd:
            yield f"Only {reader} reads {words.listed(list(map(repr, odd)))} as a feature."


def _run(job: Job, layout: Shards) -> Run:
    job = replace(job, shards=layout)
    with job.open() as opened:
        return opened.run()


def _allowed(estimator: Any, models: Mapping[str, Any], iterated: bool) -> float:
    """The largest difference that counts as the same; `estimator` has the settings of both sides."""
    values = (value for model in models.values() for _, value in fitted_attributes(model))
    single = any(getattr(value, "dtype", None) == np.float32 for value in values)
    inexact = (limit for kind, (limit, _) in INEXACT.items() if _contains(estimator, kind))
    stalls = (STALLS[solver] for solver in stalling(estimator)) if iterated else ()
    return max(ITERATED if iterated else CLOSED, SINGLE if single else 0.0, *stalls, *inexact)


def _notes(estimator: Any, settings: str) -> Iterator[str]:
    if settings:
        yield f"Both sides were fitted with {settings}."
    for solver in stalling(estimator) if settings else ():
        stop = f"stops up to {STALLS[solver]:.0e} from the optimum whatever its tolerance"
        yield f"scikit-learn's {solver} {stop}."
    for kind, (limit, owner) in INEXACT.items():
        if _contains(estimator, kind):
            yield f"{owner}'s solver of {kind.__name__} stops up to {limit:.0e} from the optimum."
    if _contains(estimator, LinearDiscriminantAnalysis):
        yield "The signs of the columns of scalings_ are arbitrary; they were made the same."


def _layouts(unbound: Shards, pool: Pool, nodes: Sequence[int]) -> dict[str, Shards]:
    whole = unbound if len(unbound) == 1 else shards(pool.data())
    layouts = {"as given": unbound} if len(unbound) > 1 else {}
    layouts |= {words.many(count, "node"): whole.deal(count) for count in nodes}
    empty = shards({"empty": pool.take(slice(0)).data()})
    more = Shards({**whole.deal(max(nodes)), **empty}, target=whole.target)
    return layouts | {f"{max(nodes)} + empty": more}


def _single_node(pool: Pool) -> dict[str, Shards]:
    return _layouts(shards(pool.data()), pool, (1,))


def _checks(reference: Any, models: Mapping[str, Any], X: Any, allowed: float) -> Iterator[Check]:
    ours = {layout: dict(fitted_attributes(model)) for layout, model in models.items()}
    for name, value in fitted_attributes(reference):
        differences = {
            layout: _difference(name, attributes.get(name), value) for layout, attributes in ours.items()
        }
        yield Check(name=name, apart=differences, tolerance=allowed)
    scaled = hasattr(reference, "scalings_")
    kinds = {
        "predict": "number" if is_regressor(reference) else "label",
        "transform": "scalings_" if scaled else "rows",
    }
    for name in RESPONSES:
        if hasattr(reference, name):
            expected, what = _response(reference, name, X), kinds.get(name, name)
            differences = {
                layout: _difference(what, _attempt(model, name, X), expected)
                for layout, model in models.items()
            }
            yield Check(name=name, apart=differences, tolerance=allowed)


def _shortfalls(reference: Any, alone: Any, nodes: Any, X: Any) -> Iterator[Shortfall]:
    """How far from the optimum `reference` each side's answer is at the estimator's own settings."""
    for check in _checks(reference, {"alone": alone, "nodes": nodes}, X, np.inf):
        if max(check.apart.values()) > CLOSED:
            yield Shortfall(name=check.name, **check.apart)


def _response(model: Any, name: str, X: Any) -> Any:
    with warnings.catch_warnings():  # where pandas is not installed, rows with names come as arrays
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        return getattr(model, name)(X)


def _attempt(model: Any, name: str, X: Any) -> Any:
    """The response of a model of Talkoot's; None if it refuses rows that one machine was fitted to."""
    try:
        return _response(model, name, X)
    except ValueError:
        return None


def _difference(what: str, ours: Any, theirs: Any) -> float:
    if ours is None:
        return np.inf
    if what == "label":
        return float(np.mean(ours != theirs))  # the share of rows with another label
    if (
        what.endswith(LOCATIONS)
        and np.shape(ours) == np.shape(theirs)
        and np.all(abs(ours - theirs) < ROUNDING)
    ):
        return 0.0
    return relative_difference(align_signs(ours, theirs) if what.endswith("scalings_") else ours, theirs)


def _contains(estimator: Any, kind: type) -> bool:
    return any(isinstance(part, kind) for part in (estimator, *estimator.get_params(deep=True).values()))

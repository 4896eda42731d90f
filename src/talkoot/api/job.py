"""A job: a plan, the shards before the nodes agreed on a schema, and the engine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast, final

from talkoot.api.resuming import resuming
from talkoot.core.engine import Emit, Engine, Kind, Nodes, Run, Terms, View, ignore
from talkoot.core.errors import DataError, PlanError
from talkoot.core.learner import Learner
from talkoot.core.plan import Plan
from talkoot.core.query import Answers, Query
from talkoot.core.run import run, run_on
from talkoot.core.shard import UNKNOWN, Schema
from talkoot.core.sync import Rounds
from talkoot.data.registered import RegisteredShard, declared_classes
from talkoot.data.samples.base import Samples, samples_of
from talkoot.data.schema import Bind, agree_on
from talkoot.data.shards import Shards
from talkoot.data.tables.source import even_slices
from talkoot.engines.choose import choose
from talkoot.formats.plans import plan_digest
from talkoot.guards.fixed import chain_of_sums


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """A plan with its shards and its engine."""

    plan: Plan  # what to run
    shards: Shards  # the rows before the nodes agreed on a schema
    engine: Engine  # where the nodes are
    reason: str  # why that engine was chosen
    note: str | None = None  # why it is not the one that the caller requested

    @classmethod
    def place(
        cls,
        plan: Plan,
        shards: Shards,
        on: Engine | None,
        *,
        spread: bool = False,
        kind: Kind = "fit",
        terms: Terms | None = None,
    ) -> Job:
        """A job on the engine that the caller chose, or on the one that suits it.

        With `spread`, rows of a single source are split over as many nodes as the engine works on at once.
        Of a `kind` of job with `terms` sites of other organisations decide before it begins.

        Raises:
            PlanError: `on` is no engine.
        """
        if on is not None and not isinstance(on, Engine):
            raise PlanError(f"on={on!r} is no engine", cure="Write on=tk.Local(2), for example.")
        engine, reason = choose(plan.learner, shards) if on is None else (on, "as asked")
        if spread and plan.learner.may_split and len(shards) == 1 and engine.width > 1:
            shards = shards.deal(engine.width)
        shards = Shards(plan.learner.divided(shards), target=shards.target)
        placed = engine.proposed(plan, kind, terms)
        note = None if type(placed) is type(engine) else instead(plan.learner, placed, engine)
        return cls(plan=plan, shards=shards, engine=placed, reason=note or reason, note=note)

    @property
    def elsewhere(self) -> bool:
        """Whether the rows are those of other organisations, so that they cannot be read here."""
        return are_elsewhere(self.shards)

    @property
    def estimator(self) -> Any:
        """The estimator that the learner fits; None for other learners."""
        return getattr(self.plan.learner, "estimator", None)

    @contextmanager
    def open(self, emit: Emit = ignore) -> Iterator[OpenJob]:
        """Open the engine, once for all that is run, and have the nodes agree on a schema (round 0).

        Raises:
            DataError: the estimator needs a target and there is none.
        """
        learner, estimator = self.plan.learner, self.estimator
        if samples_of(self.shards):
            yield OpenJob(job=self, schema=samples_schema(self.shards), emit=emit)
            return
        supervised = estimator is None or learner.queries or learns_from_target(estimator)
        if estimator is not None and supervised and not self.shards.has_target:
            raise _no_target(estimator, self.shards)
        with self.engine.open(self.shards, emit) as nodes:
            view = agree_on(
                nodes,
                labels=_is_classifier(estimator),
                classes=declared_classes(self.shards),
                target=self.shards.target,
                read_target=supervised,
                whole=learner.large_integers,
                chain=chain_of_sums(self.plan.chain),
                emit=emit,
            )
            yield OpenJob(job=self, schema=view.schema, view=view, nodes=nodes, emit=emit)

    def without(self, node: str) -> Job:
        """The same job for the other nodes."""
        rest = {name: source for name, source in self.shards.items() if name != node}
        return replace(self, shards=Shards(rest, target=self.shards.target))


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenJob:
    """A job whose nodes are there and agree on a schema."""

    job: Job
    schema: Schema  # what the nodes agree on
    view: Bind | None = None  # how they look at their rows by it; None for samples, which need none
    nodes: Nodes | None = None  # the nodes; None where the engine is opened by what runs
    emit: Emit = ignore  # receives events

    @property
    def shards(self) -> Shards:
        """The shards by the schema, in this process."""
        return viewed(self.job.shards, self.view)

    def run(
        self,
        plan: Plan | None = None,
        *,
        schema: Schema | None = None,
        view: View | None = None,
        among: Sequence[str] | None = None,
        emit: Emit | None = None,
        start: Any = None,
        resumes: bool = False,
    ) -> Run:
        """Run a plan to its end: the job's on all rows by default.

        Where `view` does not show all rows, `schema` is of those that it shows; `among` are the nodes that
        take part, and `start` is the model to start from. A run that `resumes` goes on from what is in the
        engine's folder.
        """
        plan, schema, emit = plan or self.job.plan, schema or self.schema, emit or self.emit
        if self.nodes is None:
            return run(plan, self.job.shards, self.job.engine, schema=schema, emit=emit, model=start)
        view = view or self.view
        nodes = resuming(self.nodes, plan, schema, self.job.engine) if resumes else self.nodes
        return run_on(nodes, plan, schema=schema, view=view, among=among, emit=emit, model=start)

    def deliver(self, model: Any) -> None:
        """Let the nodes have the fitted model, where they are other organisations'."""
        if self.nodes is not None:
            from talkoot.formats.save import saved

            self.nodes.deliver(lambda: saved(model, getattr(self.job.plan.learner, "build", None)))

    def ask(self, query: Query, about: Any = None) -> Any:
        """What a query makes of the answers of all nodes; the answers by name, for most.

        Args:
            query: the query.
            about: what is asked about, such as fitted models.
        """
        start = None if about is None else Answers(about=about)
        return query.finish(self.run(Plan(query), emit=ignore, start=start).model)


def are_elsewhere(shards: Shards) -> bool:
    """Whether rows are those of other organisations."""
    return any(isinstance(source, RegisteredShard) for source in shards.values())


def viewed(shards: Shards, view: Bind | None) -> Shards:
    """Shards as a view shows them."""
    return shards if view is None else Shards({n: view(s) for n, s in shards.items()}, target=shards.target)


def _is_classifier(estimator: Any) -> bool:
    from sklearn.base import is_classifier

    return estimator is not None and bool(is_classifier(estimator))


@contextmanager
def run_events(job: Job, emit: Emit) -> Iterator[None]:
    """Emit the start and the end of a run, also where it fails."""
    began = time.perf_counter()
    facts = {
        "plan": str(job.plan),
        "digest": plan_digest(job.plan),
        "nodes": list(job.shards),
        "rows": {node: own_rows(source) for node, source in job.shards.items()},
        "samples": bool(samples_of(job.shards)),
        "rounds": round_limit(job),
        "engine": repr(job.engine),
        "reason": job.reason,
    }
    emit("start", facts)
    if job.note is not None:
        emit("note", {"text": job.note})
    try:
        yield
    except BaseException as error:
        text = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
        emit("end", {"seconds": time.perf_counter() - began, "ok": False, "error": text})
        raise
    emit("end", {"seconds": time.perf_counter() - began, "ok": True, "error": None})


def instead(learner: Learner, placed: Engine, requested: Engine) -> str:
    """Why a job is on another engine than the requested one."""
    return (
        f"{placed} instead of {requested}: on one machine {learner.name} is faster in one process, on its "
        "own threads (n_jobs= limits them), than in workers that send each other sums, where cores are free"
    )


def own_rows(source: Any) -> int | None:
    """The number of a node's rows; of a source that several nodes share, those of its part."""
    if not isinstance(source, Samples):
        return cast("int | None", source.rows)
    part = even_slices(source.rows, source.of)[source.part]
    return len(range(part.start, part.stop))


def round_limit(job: Job) -> int | None:
    """The number of rounds after which a job ends, if that is known."""
    learner, sync = job.plan.learner, job.plan.sync
    if learner.kind != "averaged":
        return None  # it may converge earlier
    known = [sync.limit] if isinstance(sync, Rounds) else []
    if samples_of(job.shards):
        known.append(learner.limit(samples_schema(job.shards), sync))
    return min((limit for limit in known if limit is not None), default=None)


def samples_schema(shards: Mapping[str, Any]) -> Schema:
    """The schema of samples, which are not read for it: only their number is known."""
    rows = {source.whole: source.rows for source in shards.values()}
    return replace(UNKNOWN, rows=sum(rows.values()))


def require_estimator(estimator: Any, taker: str) -> None:
    """Refuse learners where only an estimator of scikit-learn is possible.

    Raises:
        PlanError: it is a learner, such as `tk.Torch`.
    """
    if isinstance(estimator, Learner):
        raise PlanError(
            f"{taker} takes an estimator of scikit-learn, not {type(estimator).__name__}",
            cure="Train it with tk.fit(...).",
        )


def require_own_fit(learner: Learner, taker: str) -> None:
    """Refuse estimators that cannot be fitted to the pooled rows by a plain `fit`.

    Raises:
        PlanError: its own fit needs more than rows, a target and weights.
    """
    if needs := learner.own_fit_needs:
        raise PlanError(
            f"{taker} fits {learner.name} to the pooled rows too, and its own fit needs {needs}",
            cure="Compare the model of tk.fit(...) with its own fit yourself.",
        )


def learns_from_target(estimator: Any) -> bool:
    """Whether an estimator is fitted to a target, not to features alone."""
    from sklearn.base import is_classifier, is_regressor
    from sklearn.utils import get_tags

    return bool(
        is_classifier(estimator) or is_regressor(estimator) or get_tags(estimator).target_tags.required
    )


def _no_target(estimator: Any, shards: Shards) -> DataError:
    first = next(iter(shards.values()))
    names = None if isinstance(first, RegisteredShard) else first.layout()
    columns = f" The columns are {', '.join(names.names)}." if names is not None and names.named else ""
    return DataError(
        f"{type(estimator).__name__} learns from a target, and there is none",
        cure=f'Say which with target=, such as target="label".{columns}',
    )

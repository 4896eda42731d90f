"""A job: a plan, the shards before the nodes agreed on a schema, and the engine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast, final

from talkoot.core.engine import Emit, Engine, Run, ignore
from talkoot.core.errors import DataError, PlanError
from talkoot.core.learner import Learner
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.shard import Schema, Shard
from talkoot.core.sync import Rounds
from talkoot.data.loading.loader import apportion
from talkoot.data.samples.base import Samples
from talkoot.data.schema import agree
from talkoot.data.shards import Shards
from talkoot.data.tables.source import UNKNOWN, even_slices
from talkoot.engines.choose import choose
from talkoot.formats.plans import plan_digest


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """A plan with its shards and its engine.

    Args:
        plan: what to run.
        shards: the rows before the nodes agreed on a schema.
        engine: where the nodes are.
        reason: why that engine was chosen.
    """

    plan: Plan
    shards: Shards
    engine: Engine
    reason: str

    @classmethod
    def place(cls, plan: Plan, shards: Shards, on: Engine | None, *, spread: bool = False) -> Job:
        """A job on the engine that the caller chose, or on the one that suits it.

        Args:
            plan: what to run.
            shards: the rows.
            on: the engine; None to choose one.
            spread: split the rows of a single source over as many nodes as the engine works on at once.

        Raises:
            PlanError: `on` is no engine.
        """
        if on is not None and not isinstance(on, Engine):
            raise PlanError(f"on={on!r} is no engine", cure="Write on=tk.Local(2), for example.")
        engine, reason = choose(plan.learner, shards) if on is None else (on, "as asked")
        width = getattr(engine, "workers", getattr(engine, "threads", 1))
        if spread and len(shards) == 1 and width > 1:
            shards = shards.deal(width)
        if plan.learner.samples and (batch := getattr(plan.learner, "batch", None)):
            shards = with_quotas(shards, batch)
        return cls(plan=plan, shards=shards, engine=engine, reason=reason)

    @property
    def estimator(self) -> Any:
        """The estimator that the learner fits; None for other learners."""
        return getattr(self.plan.learner, "estimator", None)

    def agree(self, emit: Emit = ignore) -> tuple[Schema, Shards]:
        """Round 0: the schema that the nodes agree on, and the shards bound to it.

        Raises:
            DataError: the estimator needs a target and there is none.
        """
        if self.plan.learner.samples:
            return samples_schema(self.shards), self.shards
        estimator = self.estimator
        if estimator is None:
            return agree(self.shards, self.engine, whole=self.plan.learner.large_integers, emit=emit)
        supervised = learns_from_target(estimator)
        if supervised and not self.shards.has_target:
            raise _no_target(estimator, self.shards)
        from sklearn.base import is_classifier

        labels = is_classifier(estimator)
        whole = self.plan.learner.large_integers
        return agree(self.shards, self.engine, labels=labels, target=supervised, whole=whole, emit=emit)

    def execute(
        self, schema: Schema, bound: Mapping[str, Shard], emit: Emit = ignore, *, start: Any = None
    ) -> Run:
        """Run the plan to its end on shards that are bound to `schema`, from the model `start` if given."""
        return run(self.plan, bound, self.engine, schema=schema, emit=emit, model=start)

    def without(self, node: str) -> Job:
        """The same job for the other nodes."""
        return replace(self, shards=shards_without(self.shards, node))


@contextmanager
def run_events(job: Job, emit: Emit) -> Iterator[None]:
    """Emit the start and the end of a run, also where it fails."""
    began = time.perf_counter()
    facts = {
        "plan": str(job.plan),
        "digest": plan_digest(job.plan),
        "nodes": list(job.shards),
        "rows": {node: own_rows(source) for node, source in job.shards.items()},
        "samples": job.plan.learner.samples,
        "rounds": round_limit(job),
        "engine": repr(job.engine),
        "reason": job.reason,
    }
    emit("start", facts)
    try:
        yield
    except BaseException as error:
        text = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
        emit("end", {"seconds": time.perf_counter() - began, "ok": False, "error": text})
        raise
    emit("end", {"seconds": time.perf_counter() - began, "ok": True, "error": None})


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
    if learner.samples:
        known.append(learner.limit(samples_schema(job.shards), sync))
    return min((limit for limit in known if limit is not None), default=None)


def with_quotas(shards: Shards, batch: int) -> Shards:
    """Each node's share of every batch, in proportion to its samples; not where nodes share one source."""
    sources: dict[str, Any] = dict(shards)
    if len({source.whole for source in sources.values()}) < len(sources):
        return shards
    quotas = apportion(batch, {node: source.rows for node, source in sources.items()})
    return Shards({node: replace(source, quota=quotas[node]) for node, source in sources.items()})


def samples_schema(shards: Mapping[str, Any]) -> Schema:
    """The schema of samples, which are not read for it: only their number is known."""
    rows = {source.whole: source.rows for source in shards.values()}
    return replace(UNKNOWN, rows=sum(rows.values()))


def shards_without(shards: Shards, node: str) -> Shards:
    """The shards of the other nodes."""
    rest = {name: source for name, source in shards.items() if name != node}
    return Shards(rest, target=shards.target)


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


def learns_from_target(estimator: Any) -> bool:
    """Whether an estimator is fitted to a target, not to features alone."""
    from sklearn.base import is_classifier, is_regressor
    from sklearn.utils import get_tags

    return bool(
        is_classifier(estimator) or is_regressor(estimator) or get_tags(estimator).target_tags.required
    )


def _no_target(estimator: Any, shards: Shards) -> DataError:
    names = next(iter(shards.values())).layout()
    columns = f" The columns are {', '.join(names.names)}." if names.named else ""
    return DataError(
        f"{type(estimator).__name__} learns from a target, and there is none",
        cure=f'Say which with target=, such as target="label".{columns}',
    )

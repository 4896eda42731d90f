"""A job: a plan, the rows as they were given, and where they are worked on."""

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


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """A plan placed on nodes.

    Args:
        plan: what is done.
        shards: the rows as they were given, before the nodes agreed on a schema.
        engine: where the nodes are.
        reason: why there.
    """

    plan: Plan
    shards: Shards
    engine: Engine
    reason: str

    @classmethod
    def place(cls, plan: Plan, given: Shards, on: Engine | None, *, spread: bool = False) -> Job:
        """A job on the engine that the caller asked for, or on the one that suits it.

        Args:
            plan: what is done.
            given: the rows.
            on: where; None to choose.
            spread: deal the rows of a single source over as many nodes as the engine works on at once.

        Raises:
            PlanError: `on` is no engine.
        """
        if on is not None and not isinstance(on, Engine):
            raise PlanError(f"on={on!r} is no place for nodes", cure="Write on=tk.Local(2), for example.")
        engine, reason = choose(plan.learner, given) if on is None else (on, "as asked")
        width = getattr(engine, "workers", getattr(engine, "threads", 1))
        if spread and len(given) == 1 and width > 1:
            given = given.deal(width)
        if plan.learner.samples and (batch := getattr(plan.learner, "batch", None)):
            given = rationed(given, batch)
        return cls(plan=plan, shards=given, engine=engine, reason=reason)

    @property
    def estimator(self) -> Any:
        """The estimator that the learner fits; None for a learner of something else."""
        return getattr(self.plan.learner, "estimator", None)

    def agree(self, emit: Emit = ignore) -> tuple[Schema, Shards]:
        """Round 0: what the nodes agree on, and shards that read accordingly.

        Raises:
            DataError: the estimator needs a target and there is none.
        """
        if self.plan.learner.samples:
            return pooled(self.shards), self.shards
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
        return replace(self, shards=without(self.shards, node))


@contextmanager
def told(job: Job, emit: Emit) -> Iterator[None]:
    """Tell the start and the end of a run, whatever happens between."""
    began = time.perf_counter()
    facts = {
        "plan": str(job.plan),
        "digest": job.plan.digest,
        "nodes": list(job.shards),
        "rows": {node: own(source) for node, source in job.shards.items()},
        "samples": job.plan.learner.samples,
        "rounds": meetings(job),
        "engine": repr(job.engine),
        "reason": job.reason,
    }
    emit("start", facts)
    try:
        yield
    except BaseException as error:
        said = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
        emit("end", {"seconds": time.perf_counter() - began, "ok": False, "error": said})
        raise
    emit("end", {"seconds": time.perf_counter() - began, "ok": True, "error": None})


def own(source: Any) -> int | None:
    """The rows that are a node's own; of a source that several nodes share, its part."""
    if not isinstance(source, Samples):
        return cast("int | None", source.rows)
    mine = even_slices(source.rows, source.of)[source.part]
    return len(range(mine.start, mine.stop))


def meetings(job: Job) -> int | None:
    """In how many rounds a job will end, if that is known."""
    learner, sync = job.plan.learner, job.plan.sync
    if learner.kind != "averaged":
        return None  # it may be done before
    known = [sync.limit] if isinstance(sync, Rounds) else []
    if learner.samples:
        known.append(learner.limit(pooled(job.shards), sync))
    return min((limit for limit in known if limit is not None), default=None)


def rationed(given: Shards, batch: int) -> Shards:
    """Nodes with samples of their own give a part of every step that is in proportion to them."""
    sources: dict[str, Any] = dict(given)
    if len({source.whole for source in sources.values()}) < len(sources):
        return given
    quotas = apportion(batch, {node: source.rows for node, source in sources.items()})
    return Shards({node: replace(source, quota=quotas[node]) for node, source in sources.items()})


def pooled(shards: Mapping[str, Any]) -> Schema:
    """What can be said of samples without reading them: how many they are."""
    rows = {source.whole: source.rows for source in shards.values()}
    return replace(UNKNOWN, rows=sum(rows.values()))


def without(shards: Shards, node: str) -> Shards:
    """The shards of the other nodes."""
    rest = {name: source for name, source in shards.items() if name != node}
    return Shards(rest, target=shards.target)


def require_estimator(estimator: Any, taker: str) -> None:
    """Refuse learners where only an estimator of scikit-learn will do.

    Raises:
        PlanError: it is a learner, such as `tk.Torch`.
    """
    if isinstance(estimator, Learner):
        raise PlanError(
            f"{taker} takes an estimator of scikit-learn, not {type(estimator).__name__}",
            cure="Train it with tk.fit(...).",
        )


def learns_from_target(estimator: Any) -> bool:
    """Whether an estimator is fitted to targets, not to features alone."""
    from sklearn.base import is_classifier, is_regressor
    from sklearn.utils import get_tags

    return bool(
        is_classifier(estimator) or is_regressor(estimator) or get_tags(estimator).target_tags.required
    )


def _no_target(estimator: Any, given: Shards) -> DataError:
    names = next(iter(given.values())).layout()
    columns = f" The columns are {', '.join(names.names)}." if names.named else ""
    return DataError(
        f"{type(estimator).__name__} learns from a target, and there is none",
        cure=f'Say which with target=, such as target="label".{columns}',
    )

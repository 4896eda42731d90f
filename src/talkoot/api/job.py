"""A job: a plan, the rows as they were given, and where they are worked on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

from sklearn.base import is_classifier, is_regressor
from sklearn.utils import get_tags

from talkoot.core.engine import Engine, Listener, ignore
from talkoot.core.errors import DataError
from talkoot.core.plan import Plan
from talkoot.core.run import Run, run
from talkoot.core.shard import Schema, Shard
from talkoot.data.schema import agree
from talkoot.data.shards import Shards


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

    def agree(self, listen: Listener = ignore) -> tuple[Schema, Shards]:
        """Round 0: what the nodes agree on, and shards that read accordingly.

        Raises:
            DataError: the estimator needs a target and there is none.
        """
        estimator = getattr(self.plan.learner, "estimator", None)
        if estimator is None:
            return agree(self.shards, self.engine, listen=listen)
        if not self.shards.has_target:
            _require_none(estimator, self.shards)
        return agree(self.shards, self.engine, labels=is_classifier(estimator), listen=listen)

    def execute(
        self, schema: Schema, bound: Mapping[str, Shard], listen: Listener = ignore, *, start: Any = None
    ) -> Run:
        """Run the plan to its end on shards that are bound to `schema`, from the model `start` if given."""
        return run(self.plan, bound, self.engine, schema=schema, listen=listen, model=start)

    def without(self, node: str) -> Job:
        """The same job for the other nodes."""
        return replace(self, shards=without(self.shards, node))


def without(shards: Shards, node: str) -> Shards:
    """The shards of the other nodes."""
    rest = {name: source for name, source in shards.items() if name != node}
    return Shards(rest, target=shards.target)


def _require_none(estimator: Any, given: Shards) -> None:
    """Refuse an estimator that learns from a target."""
    if is_classifier(estimator) or is_regressor(estimator) or get_tags(estimator).target_tags.required:
        names = next(iter(given.values())).layout()
        columns = f" The columns are {', '.join(names.names)}." if names.named else ""
        raise DataError(
            f"{type(estimator).__name__} learns from a target, and there is none",
            cure=f'Say which with target=, such as target="label".{columns}',
        )

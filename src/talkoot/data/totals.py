"""The sums of round 0 as a learner, so that they go through a plan's chain: rows, centers, the target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.engine import Nodes
from talkoot.core.errors import DataError
from talkoot.core.learner import Kind, Learner
from talkoot.core.outer import Outer, Solve
from talkoot.core.plan import Plan
from talkoot.core.run import run_on
from talkoot.core.shard import UNKNOWN, Schema, Shard
from talkoot.core.transform import Transform
from talkoot.core.update import Update
from talkoot.data.inventory import Inventory
from talkoot.data.tables.source import Source


@final
@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The sums of all nodes by name; None before the round."""

    sums: Mapping[str, np.ndarray] | None = None

    @property
    def done(self) -> bool:
        """Whether the round was held."""
        return self.sums is not None


@final
@dataclass(frozen=True, slots=True)
class Totals(Learner):
    """Adds up the nodes' rows, the centers of their columns times their rows, and their targets.

    Args:
        names: the columns, in the order that the nodes agreed on.
        target: the name of the target column, if it has one.
        read: whether the target is one of numbers, to be added up.
        classes: of the target, where they were declared: how many nodes have each is added up.
    """

    names: tuple[str, ...]
    target: str | None = None
    read: bool = True
    classes: tuple[Any, ...] = ()
    kind: ClassVar[Kind] = "exact"
    reads: ClassVar[type[Shard]] = Source
    question_types: ClassVar[tuple[type, ...]] = (Found,)

    def init(self, schema: Schema, rng: np.random.Generator) -> Found:
        """No sums yet."""
        del schema, rng
        return Found()

    def question(self, model: Found) -> None:
        """The plan says all."""
        del model

    def work(self, question: None, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """The node's sums."""
        labels = bool(self.classes)
        report = Inventory(labels=labels, target=self.target, read=self.read or labels).answer(shard)
        if not report:
            return Update(), local
        rows, own = int(report["rows"][0]), report["names"].tolist()
        center = report["center"][[own.index(name) for name in self.names]]
        known = np.isfinite(center)
        values = {
            "rows": np.array([rows]),
            "known": known * rows,
            "center": np.where(known, center, 0.0) * rows,
            **({"target": report["target_sum"]} if "target_sum" in report else {}),
            **({"classes": np.isin(self.classes, report["classes"]).astype(int)} if labels else {}),
        }
        return Update(values=values, weight=float(rows)), local

    def outer(self) -> Outer:
        """One round."""
        return Solve(self.step)

    def step(self, model: Found, update: Update) -> Found:
        """The sums of all."""
        del model
        return Found(update.values)

    def finish(self, model: Found) -> Mapping[str, np.ndarray]:
        """The sums by name."""
        return model.sums or {}


def with_totals(
    schema: Schema,
    nodes: Nodes,
    chain: Iterable[Transform],
    target: bool,
    classes: tuple[Any, ...] = (),
) -> Schema:
    """A schema with the rows, the centers and the target's center that sums through a chain give.

    Args:
        schema: the columns that the nodes agreed on.
        nodes: the nodes.
        chain: of exact sums; without any, the schema has these already.
        target: whether the target is one of numbers.
        classes: the classes that were declared.

    Raises:
        DataError: no node has a row of a class that was declared.
    """
    links = tuple(chain)
    named = schema.names or tuple(map(str, range(schema.features)))
    learner = Totals(named if links else (), schema.target, read=target and bool(links), classes=classes)
    plan = Plan(learner, chain=links)
    sums: Any = plan.learner.finish(run_on(nodes, plan, schema=UNKNOWN).model)
    empty = [value for value, count in zip(classes, sums.get("classes", ()), strict=True) if not count]
    if empty:
        raise DataError(
            f"no node has a row of the class {empty[0]!r}",
            column=schema.target,
            cure="Leave it out of classes=.",
        )
    if not links:
        return schema
    rows = int(sums["rows"][0])
    numbers = np.array([kind != "text" for kind in schema.kinds]) & (not schema.sparse)
    center = np.where(numbers, sums["center"] / np.maximum(sums["known"], 1), 0.0)
    found = np.atleast_1d(sums["target"] / rows) if "target" in sums else schema.target_center
    return replace(schema, rows=rows, center=center, target_center=found)

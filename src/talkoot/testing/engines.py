"""Checks of engines: they do not change answers, and their errors name the node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.engine import Engine, Run
from talkoot.core.errors import NodeFailed
from talkoot.core.learner import Kind, Learner
from talkoot.core.merge import Median
from talkoot.core.outer import Add, Nesterov, Outer
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.shard import Schema, Shard
from talkoot.core.sync import rounds
from talkoot.core.update import Update
from talkoot.data.schema import agree
from talkoot.data.shards import shards
from talkoot.engines.inline import Inline
from talkoot.guards.weigh import weigh
from talkoot.testing.compare import assert_same
from talkoot.testing.toys import Count, Walk


@final
@dataclass(frozen=True, slots=True)
class FailingNode(Learner):
    """Raises an error at one node; the others send a one."""

    node: str
    kind: ClassVar[Kind] = "averaged"

    def init(self, schema: Schema, rng: np.random.Generator) -> Any:
        """A zero."""
        return {"arrived": np.zeros(1)}

    def work(self, model: Any, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Raise at the named node."""
        if ctx.node == self.node:
            raise KeyError(f"{shard.name} failed")
        return Update(values={"arrived": np.ones(1)}, weight=1.0), None

    def outer(self) -> Outer:
        """A sum."""
        return Add()

    def finish(self, model: Any) -> Any:
        """The number of nodes that arrived."""
        return model


def plans() -> list[Plan]:
    """Plans that together use everything an engine must support: sums, other leaves, separate updates, local
    state, sampling and failures.
    """
    return [
        Plan(Count()),
        Plan(Walk(), chain=[weigh("rows")], sync=rounds(5)),
        Plan(Walk(), chain=[weigh("rows")], outer=Nesterov(), sync=rounds(6, sample=0.5)),
        Plan(Walk(), merge=Median(), sync=rounds(4)),
        Plan(FailingNode("node1"), sync=rounds(2, quorum=2)),
    ]


def check_engine(engine: Engine, *, nodes: int = 5, rtol: float = 1e-12) -> None:
    """Check that an engine gives the answers of `Inline`, and that its errors name the node.

    Args:
        engine: what to check; it is opened several times.
        nodes: number of nodes; one of them has no rows.
        rtol: allowed difference, for the order of float additions.

    Raises:
        AssertionError: an answer differs, or an error lacks its place.

    >>> check_engine(Inline(threads=2))
    """
    X = np.random.default_rng(0).normal(size=(40 * (nodes - 1), 3))
    parts = {f"node{i}": part for i, part in enumerate(np.split(X, nodes - 1))} | {"empty": X[:0]}
    schema, bound = agree(shards(parts), Inline())
    for plan in plans():
        expected = run(plan, bound, Inline(), schema=schema)
        got = run(plan, bound, engine, schema=schema)
        assert_same(got.model, expected.model, rtol=rtol, where=str(plan.learner))
        assert _outcomes(got) == _outcomes(expected), f"{plan.learner}: the rounds differ"
    _check_failure(engine, bound, schema)


def _outcomes(done: Run) -> list[Any]:
    return [(sorted(o.arrived), sorted(o.failed), o.committed) for o in done.history]


def _check_failure(engine: Engine, bound: Any, schema: Schema) -> None:
    try:
        run(Plan(FailingNode("node2"), sync=rounds(1)), bound, engine, schema=schema)
    except NodeFailed as error:
        text = str(error)
        assert error.node == "node2", f"the error names node {error.node!r}"
        assert text.index("Traceback") < text.index("KeyError"), "the node's own traceback is missing"
        assert "round 0" in text, "the error does not name the round"
    else:
        raise AssertionError("a node raised and the run went on")

"""What rounding lost in a round that did not count is not sent later: that round's update was never used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np
import pytest
from packing import ROWS

from talkoot import Add, Inline, Plan, Update, rounds, shards, weigh
from talkoot.core.context import Ctx
from talkoot.core.engine import Run
from talkoot.core.learner import Kind, Learner
from talkoot.core.outer import Outer
from talkoot.core.round import Round
from talkoot.core.run import NodeState, run, work
from talkoot.core.shard import Schema, Shard
from talkoot.data.schema import agree
from talkoot.guards.codec import Codec
from talkoot.guards.quantize import quantize
from talkoot.guards.topk import topk
from talkoot.testing.toys import Walk

CODECS = [quantize(), quantize(4), topk(0.1)]


@final
@dataclass(frozen=True)
class Limp(Learner):
    """Walks, but one node falls in one round."""

    falls: tuple[str, int]
    walk: Walk = field(default_factory=Walk)
    kind: ClassVar[Kind] = "averaged"

    def init(self, schema: Schema, rng: np.random.Generator) -> Any:
        return self.walk.init(schema, rng)

    def work(self, model: Any, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        if (ctx.node, ctx.round) == self.falls:
            raise RuntimeError("fell")
        return self.walk.work(model, local, shard, ctx)

    def outer(self) -> Outer:
        return Add()

    def finish(self, model: Any) -> Any:
        return model


def limped(codec: Codec, falls: tuple[str, int], count: int) -> Run:
    schema, bound = agree(shards(ROWS, nodes=3), Inline())
    plan = Plan(Limp(falls), chain=[weigh(), codec], sync=rounds(count, quorum=3))
    return run(plan, bound, Inline(), schema=schema)


@pytest.mark.parametrize("codec", CODECS, ids=str)
@pytest.mark.parametrize("node", ["node0", "node2"])
def test_a_run_with_a_dropped_round_equals_one_without_it(codec: Codec, node: str) -> None:
    dropped, clean = limped(codec, (node, 2), 6), limped(codec, ("nobody", 0), 5)
    assert [outcome.committed for outcome in dropped.history] == [True, True, False, True, True, True]
    np.testing.assert_array_equal(dropped.model["at"], clean.model["at"])


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_a_node_encodes_as_if_the_dropped_round_had_not_been(codec: Codec) -> None:
    schema, bound = agree(shards(ROWS, nodes=1), Inline())
    plan = Plan(Walk(), chain=[weigh(), codec], sync=rounds(3))
    shard, model = bound["node0"], Walk().init(schema, np.random.default_rng(0))
    elsewhere = {**model, "at": model["at"] + 1}
    _, first = work(plan, model, shard, NodeState(), Round(index=0))
    _, second = work(plan, elsewhere, shard, first, Round(index=1))
    without, _ = work(plan, model, shard, first, Round(index=2))
    dropped, _ = work(plan, model, shard, second, Round(index=2, dropped=(1,)))
    counted, _ = work(plan, model, shard, second, Round(index=2))
    np.testing.assert_array_equal(dropped.values["at"].pack(), without.values["at"].pack())
    assert not np.array_equal(counted.values["at"].dense(), without.values["at"].dense())

from __future__ import annotations

import numpy as np
import pytest

from talkoot import Inline, Plan, rounds, shards, weigh
from talkoot.core.engine import Viewed
from talkoot.core.errors import NodeLost, QuorumError
from talkoot.core.run import run
from talkoot.core.shard import Schema, Shard
from talkoot.data.schema import agree
from talkoot.data.shards import Shards
from talkoot.testing.scripted import Scripted
from talkoot.testing.toys import Count, Walk

ROWS = np.arange(24.0).reshape(12, 2)


def setup(nodes: int = 3) -> tuple[Schema, Shards]:
    return agree(shards(ROWS, nodes=nodes), Inline())


def test_the_loop_ends_when_the_learner_is_done_and_keeps_the_last_point() -> None:
    schema, bound = setup()
    heard: list[str] = []
    done = run(Plan(Count()), bound, Inline(), schema=schema, emit=lambda event, _: heard.append(event))
    assert len(done.history) == 1
    assert done.plan.learner.finish(done.model)["sum"].tolist() == ROWS.sum(axis=0).tolist()
    assert done.point.found is None
    assert done.update.values["rows"].tolist() == [12.0]
    assert "round" in heard


def test_walking_halfway_each_round() -> None:
    schema, bound = setup()
    done = run(Plan(Walk(), chain=[weigh("rows")], sync=rounds(3)), bound, Inline(), schema=schema)
    np.testing.assert_allclose(done.model["at"], ROWS.mean(axis=0) * (1 - 0.5**3))
    assert done.model["rounds"].tolist() == [3.0]


def test_without_a_quorum_the_first_failure_ends_the_run_by_name() -> None:
    schema, bound = setup()
    with pytest.raises(NodeLost, match="node 'node1', round 1: as scripted"):
        run(Plan(Walk(), sync=rounds(3)), bound, Scripted([[], ["node1"], []]), schema=schema)


def test_with_a_quorum_the_others_go_on_and_the_story_is_kept() -> None:
    schema, bound = setup()
    plan = Plan(Walk(), chain=[weigh("rows")], sync=rounds(2, quorum=2))
    done = run(plan, bound, Scripted([["node1"], []]), schema=schema)
    assert done.history[0].arrived == ("node0", "node2")
    assert "scripted" in done.history[0].failed["node1"]
    assert all(outcome.committed for outcome in done.history)


def test_a_round_that_misses_its_quorum_leaves_no_trace() -> None:
    schema, bound = setup()
    plan = Plan(Walk(), chain=[weigh("rows")], sync=rounds(3, quorum=3))
    dropped = run(plan, bound, Scripted([[], ["node0"], []]), schema=schema)
    clean = run(Plan(Walk(), chain=[weigh("rows")], sync=rounds(2)), bound, Scripted([[], []]), schema=schema)
    assert [outcome.committed for outcome in dropped.history] == [True, False, True]
    np.testing.assert_array_equal(dropped.model["at"], clean.model["at"])
    assert dropped.model["rounds"].tolist() == [2.0], "nodes must forget what they did in a dropped round"


def test_a_quorum_that_is_never_met_ends_with_the_culprits() -> None:
    schema, bound = setup()
    plan = Plan(Walk(), sync=rounds(50, quorum=3))
    with pytest.raises(
        QuorumError, match=r"2 of 3 nodes arrived.*3 rounds in a row.*node2.*Lower the quorum"
    ):
        run(plan, bound, Scripted([["node2"]] * 50), schema=schema)


def test_a_run_can_start_from_an_earlier_model() -> None:
    schema, bound = setup()
    plan = Plan(Walk(), chain=[weigh("rows")], sync=rounds(1))
    first = run(plan, bound, Inline(), schema=schema)
    second = run(plan, bound, Inline(), schema=schema, model=first.model)
    np.testing.assert_allclose(second.model["at"], ROWS.mean(axis=0) * 0.75)


def test_a_view_looks_at_each_shard_once_when_it_is_needed() -> None:
    _, bound = setup(2)
    seen: list[str] = []

    def look(shard: Shard) -> Shard:
        seen.append(shard.name)
        return shard

    views = Viewed(bound, look)
    assert seen == []
    assert views["node1"] is views["node1"] is bound["node1"]
    assert seen == ["node1"]
    with pytest.raises(KeyError):
        views["nobody"]

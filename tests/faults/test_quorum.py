"""Which rounds count: the loop's own logic, on an engine whose failures are scripted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from faulty import SCHEMA, Faulty, sites

from talkoot.core.engine import Run
from talkoot.core.errors import NodeLost, QuorumError
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.sync import Rounds
from talkoot.testing.scripted import Scripted


def go(script: Sequence[str], **sync: Any) -> Run:
    plan = Plan(Faulty(), sync=Rounds(**{"limit": len(script), **sync}))
    return run(plan, sites(3), Scripted([lost.split() for lost in script]), schema=SCHEMA)


def test_without_a_quorum_the_first_failure_ends_the_run() -> None:
    with pytest.raises(NodeLost, match="node 'site1', round 1: as scripted"):
        go(["", "site1", ""])


def test_with_a_quorum_the_round_counts_without_those_that_failed() -> None:
    done = go(["", "site1", ""], quorum=2)
    assert [outcome.committed for outcome in done.history] == [True, True, True]
    assert done.history[1].failed == {"site1": "node 'site1', round 1: as scripted"}
    assert done.model["count"] == 3 * 1 + 2 * 2 + 3 * 3


def test_a_round_below_the_quorum_leaves_no_trace() -> None:
    done = go(["", "site0 site1", ""], quorum=2)
    assert [outcome.committed for outcome in done.history] == [True, False, True]
    assert done.model["count"] == 3 * 1 + 3 * 2, "nodes forget what they did in the dropped round"
    plain = go(["", ""])
    np.testing.assert_array_equal(done.model["sum"], plain.model["sum"])


def test_a_single_missed_quorum_at_any_place_is_forgiven() -> None:
    for missed in range(3):
        script = ["site0 site1" if index == missed else "" for index in range(3)]
        assert [o.committed for o in go(script, quorum=2).history].count(False) == 1


def test_three_missed_quorums_in_a_row_end_the_run() -> None:
    missed = "site0 site2"
    with pytest.raises(QuorumError) as caught:
        go(["", missed, missed, missed, ""], quorum=2)
    assert str(caught.value).startswith(
        "round 3: 1 of 3 nodes arrived and the quorum is 2, 3 rounds in a row"
    )
    assert "site0: node 'site0', round 3: as scripted" in str(caught.value)
    assert caught.value.cure == "Lower the quorum, or ask more nodes."


def test_a_round_that_counts_starts_the_patience_anew() -> None:
    missed = "site0 site2"
    done = go([missed, missed, "", missed, missed, ""], quorum=2)
    assert [o.committed for o in done.history] == [False, False, True, False, False, True]
    assert done.model["count"] == 3 * 1 + 3 * 2

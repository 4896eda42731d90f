"""Workers that are killed or hang in a round under masks: replaced, or lost by name, and the sum is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from faulty import SCHEMA, Faulty, sites

import talkoot as tk
from patience import patient
from talkoot.core.engine import Engine, Run
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.sync import Rounds

SILENCE = patient(2.5)  # seconds


def go(learner: Faulty, engine: Engine, *chain: Any, **given: Any) -> Run:
    plan = Plan(learner, chain=[tk.fixed(), *chain], sync=Rounds(**{"limit": 3, **given}))
    return run(plan, sites(4), engine, schema=SCHEMA)


def assert_equal(got: Run, expected: Run) -> None:
    for name in ("sum", "count"):
        assert got.model[name].tobytes() == expected.model[name].tobytes(), name


def test_a_worker_that_dies_is_replaced_and_the_answer_is_the_same(tmp_path: Path) -> None:
    everywhere = tuple(sites(4))
    kill = Faulty("kill", nodes=everywhere, rounds=(1,), marker=str(tmp_path / "done"))
    assert_equal(go(kill, tk.Local(2), tk.mask()), go(Faulty(), tk.Inline()))


@pytest.mark.parametrize("action", ["kill", "stop"])
def test_a_node_that_is_lost_for_a_round_is_missing_from_the_sum_alone(action: str) -> None:
    fault = Faulty(action, nodes=("site1",), rounds=(1,))
    got = go(fault, tk.Local(1, silence=SILENCE), tk.mask(), quorum=3)
    plain = go(fault, tk.Local(1, silence=SILENCE), quorum=3)
    assert_equal(got, plain)
    assert [list(outcome.failed) for outcome in got.history] == [[], ["site1"], []]
    assert got.history[1].committed


def test_too_many_lost_nodes_drop_the_round_and_the_next_one_counts() -> None:
    fault = Faulty("kill", nodes=("site0", "site1"), rounds=(1,))
    got = go(fault, tk.Local(2), tk.mask(), quorum=2)
    assert [outcome.committed for outcome in got.history] == [True, False, True]
    assert "2 nodes are in the sum, and a secure sum of this round needs 3" in got.history[1].failed["site3"]

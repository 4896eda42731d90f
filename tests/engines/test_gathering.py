"""Gathering by script: quorum, grace, deadlines and lost workers on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkoot.core.errors import NodeFailed, NodeLost, NodeSilent
from talkoot.core.round import Meeting, Round
from talkoot.core.update import Update
from talkoot.engines.events import Action, Answer, Answered, Blocked, Died, Report, Request, Seen, Slot, Stop
from talkoot.engines.gathering import DEATHS, TICK, Gathering


def update(value: float) -> Update:
    return Update(values={"x": np.array([value])}, weight=1.0)


def answer(*nodes: str, value: float = 1.0) -> Answer:
    return Answer(nodes=nodes, update=update(value * len(nodes)))


def failure(node: str) -> Answer:
    return Answer(failed={node: NodeFailed("as scripted", node=node)})


def begun(shares: Sequence[str], index: int = 0, **meeting: Any) -> Gathering:
    slots = [Slot(number, frozenset(share)) for number, share in enumerate(shares)]
    gathering = Gathering(slots=slots, silence=10.0)
    begin(gathering, index, **meeting)
    return gathering


def begin(
    gathering: Gathering, index: int, now: float = 0.0, dropped: tuple[int, ...] = (), **meeting: Any
) -> list[str]:
    cohort = tuple(sorted(node for slot in gathering.slots for node in slot.nodes))
    rnd = Round(index=index, cohort=cohort, dropped=dropped, meeting=Meeting(**meeting))
    return requested(gathering.begin(rnd, now))


def requested(actions: Sequence[Action]) -> list[str]:
    return ["".join(action.nodes) for action in actions if isinstance(action, Request)]


def test_idle_workers_are_requested_once_and_the_sum_is_that_of_all() -> None:
    gathering = begun(["ab", "c"])
    assert [slot.requested for slot in gathering.slots] == [("a", "b"), ("c",)]
    gathering.on(Answered(gathering.slots[1], answer("c", value=5.0)), 1.0)
    assert not gathering.over(1.0)
    gathering.on(Answered(gathering.slots[0], answer("a", "b")), 2.0)
    assert gathering.over(2.0)
    merged = gathering.merged()
    assert (merged.update.values["x"].tolist(), merged.arrived) == ([7.0], ("a", "b", "c"))


@given(st.permutations([0, 1, 2]))
def test_the_sum_does_not_depend_on_who_is_first(order: list[int]) -> None:
    parts = [0.1, 1e16, -1e16]
    gathering = begun(["a", "b", "c"])
    for at in order:
        gathering.on(Answered(gathering.slots[at], answer("abc"[at], value=parts[at])), 1.0)
    assert gathering.merged().update.values["x"].tolist() == [(parts[0] + parts[1]) + parts[2]]


def test_nodes_of_a_worker_are_added_first_however_they_are_answered() -> None:
    parts = {"a": 1e16, "b": 1.0, "c": 1.0, "d": -1e16}
    single, together = begun(["ad", "bc"]), begun(["ad", "bc"])
    for node, value in parts.items():
        slot = single.slots[node in "bc"]
        single.on(Answered(slot, answer(node, value=value)), 1.0)
    for slot, nodes in zip(together.slots, ("ad", "bc"), strict=True):
        found = Answer(nodes=tuple(nodes), update=update(parts[nodes[0]]) + update(parts[nodes[1]]))
        together.on(Answered(slot, found), 1.0)
    assert (
        single.merged().update.values["x"].tolist() == together.merged().update.values["x"].tolist() == [2.0]
    )


def test_without_a_quorum_the_first_failure_ends_the_round_and_stops_the_others() -> None:
    gathering = begun(["a", "b"])
    gathering.on(Answered(gathering.slots[0], failure("a")), 1.0)
    assert gathering.over(1.0)
    assert gathering.end() == [Stop(gathering.slots[1])]
    assert list(gathering.merged().failed) == ["a"]


def test_with_a_quorum_the_others_are_waited_for_until_the_deadline() -> None:
    gathering = begun(["a", "b", "c"], quorum=2, deadline=5.0)
    for at in (0, 1):
        gathering.on(Answered(gathering.slots[at], answer("ab"[at])), 1.0)
    assert not gathering.over(4.9)
    assert gathering.wait(4.9) == pytest.approx(0.1)
    actions = gathering.on(Seen(gathering.slots[2], 1, "c"), 5.0)
    assert Stop(gathering.slots[2]) in actions
    assert gathering.over(5.0)
    assert gathering.wait(5.0) is None
    error = gathering.merged().failed["c"]
    assert isinstance(error, NodeSilent)
    assert "no answer before the deadline of 5 s" in str(error)


def test_grace_is_a_share_of_the_time_of_the_quorum_and_the_late_count_where_they_arrive() -> None:
    gathering = begun(["a", "b", "c"], quorum=2, grace=0.5)
    for at in (0, 1):
        gathering.on(Answered(gathering.slots[at], answer("ab"[at])), 4.0)
    assert not gathering.over(5.9)
    assert gathering.over(6.0)
    assert gathering.merged().arrived == ("a", "b")
    assert begin(gathering, 1, now=6.0, quorum=2, grace=0.5) == ["a", "b"], "the late one is busy"
    gathering.on(Answered(gathering.slots[2], answer("c")), 7.0)
    gathering.on(Answered(gathering.slots[0], answer("a")), 8.0)
    assert gathering.merged().arrived == ("a", "c")


def test_a_late_answer_of_a_round_that_does_not_count_waits_for_the_next() -> None:
    gathering = begun(["a", "b", "c"], quorum=2, grace=0.5)
    for at in (0, 1):
        gathering.on(Answered(gathering.slots[at], answer("ab"[at])), 4.0)
    begin(gathering, 1, now=6.0, quorum=2, grace=0.5)
    gathering.on(Answered(gathering.slots[2], answer("c", value=9.0)), 7.0)
    for at in (0, 1):
        gathering.on(Answered(gathering.slots[at], failure("ab"[at])), 8.0)
    assert begin(gathering, 2, now=8.0, dropped=(1,), quorum=2, grace=0.5) == ["a", "b"]
    assert gathering.arrived == ["c"]


def test_who_dies_is_replaced_and_given_up_after_a_few_deaths() -> None:
    gathering = begun(["ab", "c"], quorum=1)
    slot = gathering.slots[0]
    for death in range(DEATHS - 1):
        actions = gathering.on(Died(slot, "b", f"death {death}", "rest"), 1.0)
        assert requested(actions) == ["ab"]
        assert [action.event for action in actions if isinstance(action, Report)] == ["worker"]
    actions = gathering.on(Died(slot, "b", "the last death", "Take a rest."), 2.0)
    assert requested(actions) == ["a"], "the node at which it died is given up, the other is not"
    error = gathering.merged().failed["b"]
    assert isinstance(error, NodeLost)
    assert "died 3 times in this round; the last one the last death" in str(error)


def test_silence_is_counted_only_while_somebody_listens() -> None:
    gathering = begun(["a", "b"], quorum=1)
    slot = gathering.slots[0]
    assert gathering.on(Seen(slot, 1, "a"), 1.0) == []
    assert gathering.on(Seen(slot, 1, "a"), 1000.0) == [], "this process was asleep"
    now = 1000.0
    while not (actions := gathering.on(Seen(slot, 1, "a"), now)):
        now += TICK
        assert now < 1012.0
    assert Stop(slot) in actions
    assert "no sign of life from its worker for 10 s" in str(gathering.merged().failed["a"])


def test_a_worker_that_does_not_read_is_given_up_with_all_its_nodes() -> None:
    gathering = begun(["ab", "c"], quorum=1)
    assert gathering.on(Blocked(gathering.slots[0]), 1.0) == [Stop(gathering.slots[0])]
    assert sorted(gathering.merged().failed) == ["a", "b"]


EVENTS = st.lists(st.tuples(st.sampled_from("adfs"), st.integers(0, 2), st.floats(0.0, 3.0)), max_size=30)


@given(EVENTS, st.sampled_from([None, 1, 2, 3]), st.sampled_from([None, 0.5]))
def test_each_node_is_counted_once_whatever_happens(
    events: list[tuple[str, int, float]], quorum: int | None, grace: float | None
) -> None:
    grace = grace if quorum is not None else None
    gathering, now = begun(["a", "b", "c"], quorum=quorum, grace=grace, deadline=8.0), 0.0
    for what, number, took in events:
        now += took
        if gathering.over(now):
            break
        slot = gathering.slots[number]
        if not slot.pending:
            continue
        (node,) = slot.pending
        match what:
            case "a":
                gathering.on(Answered(slot, answer(node)), now)
            case "f":
                gathering.on(Answered(slot, failure(node)), now)
            case "d":
                gathering.on(Died(slot, node, "died", "cure"), now)
            case "s":
                gathering.on(Seen(slot, slot.beats, node), now)
    merged = gathering.merged()
    known = [*merged.arrived, *merged.failed, *(n for slot in gathering.busy for n in slot.pending)]
    assert sorted(known) == sorted(set(known)), "no node is counted twice"
    assert gathering.void or sorted(known) == ["a", "b", "c"], "and none is lost without a reason"
    if not gathering.busy and not gathering.void:
        assert merged.update.weight == len(merged.arrived)

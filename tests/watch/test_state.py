"""The state that views draw, told from events."""

from __future__ import annotations

from typing import Any

from talkoot.watch.state import replay


def told(*events: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"t": 100.0 + i, **event} for i, event in enumerate(events)]


START = {"event": "start", "nodes": ["a", "b"], "rows": {"a": 3, "b": None}, "plan": "learner  X"}


def test_rows_are_known_from_the_nodes_or_from_the_schema() -> None:
    assert replay([]).rows is None
    assert replay(told(START)).rows is None
    assert replay(told({**START, "rows": {"a": 3, "b": 4}})).rows == 7
    assert replay(told(START, {"event": "schema", "rows": 9})).rows == 9


def test_a_round_resets_what_was_read_and_keeps_what_was_spent() -> None:
    state = replay(
        told(
            START,
            {"event": "rows", "node": "a", "rows": 2},
            {
                "event": "round",
                "round": 0,
                "nodes": {"a": 0.5, "b": 0.2},
                "failed": {},
                "metrics": {"loss": 2.0},
            },
            {"event": "rows", "node": "a", "rows": 1},
            {
                "event": "round",
                "round": 1,
                "nodes": {"a": 0.25},
                "failed": {"b": "lost"},
                "metrics": {"loss": None},
            },
            {"event": "rows", "node": "b", "rows": 1},
        )
    )
    assert (state.nodes["a"].read, state.nodes["b"].read) == (0, 1)
    assert state.seconds("a") == [0.5, 0.25]
    assert state.failed("b") == {1: "lost"}
    assert state.metrics == {"loss": {0: 2.0}}
    assert (state.began, state.turn, state.now) == (100.0, 104.0, 105.0)


def test_a_replaced_worker_counts_for_each_of_its_nodes() -> None:
    lost = {"event": "worker", "worker": 1, "nodes": ["a", "b"], "cause": "killed"}
    state = replay(told(START, {"event": "rows", "node": "a", "rows": 2}, lost, {**lost, "nodes": ["a"]}))
    assert [(n.replaced, n.read) for n in state.nodes.values()] == [(2, 0), (1, 0)]
    assert [facts["cause"] for facts in state.lost] == ["killed", "killed"]


def test_the_last_run_is_told_and_what_was_found_beside_it_is_kept() -> None:
    state = replay(
        told(
            {"event": "log", "versions": {"talkoot": "1"}},
            {"event": "check", "findings": []},
            START,
            {"event": "round", "round": 0},
            {"event": "end", "ok": False, "seconds": 1.0, "error": "no"},
            {**START, "nodes": ["c"], "rows": {}},
        )
    )
    assert list(state.nodes) == ["c"]
    assert state.rounds == ()
    assert not state.get("end")
    assert state.get("log")["versions"] == {"talkoot": "1"}
    assert "findings" in state.get("check")


def test_events_from_the_future_change_nothing_but_the_time() -> None:
    events = told(START, {"event": "hovercraft", "eels": 3})
    state, before = replay(events), replay(events[:1])
    assert (state.nodes, state.facts, state.now) == (before.nodes, before.facts, 101.0)

"""The state of a run, computed from its events; all views draw it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

from talkoot.watch.events import Event
from talkoot.watch.sites import SiteState, after_round, followed
from talkoot.watch.steps import Steps
from talkoot.watch.stream import Stream

Facts = Mapping[str, Any]
MAX_ROUNDS = 10_000  # in memory
ONCE = ("log", "end", "advice", "check", "compare", "transfer", "verify")  # only the last event counts
PER_RUN = ("schema", "end", "advice", "fold")  # events that a new start makes obsolete


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """The state of one node."""

    name: str
    rows: int | None = None  # how many it has, if known
    read: int = 0  # rows read so far in the present round
    replaced: int = 0  # how often its worker died and was replaced


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """The state of a run."""

    nodes: Mapping[str, NodeState] = field(default_factory=dict)  # by name, in the plan's order
    rounds: tuple[Facts, ...] = ()  # facts of every round so far; of very many, of every other one
    steps: Steps = field(default_factory=Steps)  # the reports of training by steps
    stream: Stream = field(default_factory=Stream)  # of a stream that is followed
    # facts of every group of ranks that formed: after which "step" (or round), when ("t"), and the "cause" if
    # the connection of the previous group broke
    groups: tuple[Facts, ...] = ()
    lost: tuple[Facts, ...] = ()  # facts of workers that died: after which "step" (or round) and when ("t")
    # of events that happen once, by their name: "start", "schema", "end", "verify", ...; under "note" the
    # "texts" of all notes
    facts: Mapping[str, Facts] = field(default_factory=dict)
    sites: Mapping[str, SiteState] = field(default_factory=dict)  # of a federation, by name
    deadline: float | None = None  # until when the round under way waits for sites, if that is known
    began: float = 0.0  # when the run began, in seconds since 1970
    turn: float = 0.0  # when the present round began
    now: float = 0.0  # when the last event happened

    def get(self, event: str) -> Facts:
        """The facts of an event that happens once; empty if it did not happen."""
        return self.facts.get(event, {})

    @property
    def stepwise(self) -> bool:
        """Whether it reports steps, not rounds."""
        return self.steps.last is not None

    @property
    def counted(self) -> tuple[int, str]:
        """The number of rounds, steps or folds so far, and which of them it is."""
        if self.get("fold"):
            return int(self.get("fold")["fold"]), "fold"
        return (self.steps.done, "step") if self.stepwise else (self.round_count, "round")

    @property
    def round_count(self) -> int:
        """The number of rounds so far, of which not all need be reported."""
        return max(len(self.rounds), self.rounds[-1].get("round", -1) + 1) if self.rounds else 0

    @property
    def rows(self) -> int | None:
        """Rows over all nodes, if known."""
        if "rows" in self.get("schema"):
            return int(self.get("schema")["rows"])
        known = [node.rows for node in self.nodes.values() if node.rows is not None]
        return sum(known) if known and len(known) == len(self.nodes) else None

    @property
    def metrics(self) -> dict[str, dict[float, float]]:
        """Every metric that the learner reported: name -> round -> value, where it is a finite number."""
        series: dict[str, dict[float, float]] = {}
        for facts in self.rounds:
            for name, value in facts.get("metrics", {}).items():
                if value is not None and math.isfinite(value):
                    series.setdefault(name, {})[facts["round"]] = float(value)
        return series

    def seconds(self, node: str) -> list[float]:
        """How long `node` worked, for each of its rounds."""
        return [facts["nodes"][node] for facts in self.rounds if node in facts.get("nodes", {})]

    def failed(self, node: str) -> dict[int, str]:
        """Why `node` did not arrive, by round."""
        return {f["round"]: f["failed"][node] for f in self.rounds if node in f.get("failed", {})}

    def late(self, node: str) -> int:
        """In how many rounds `node` was still at work when they were over."""
        return sum(node in facts.get("late", ()) for facts in self.rounds)


def replay(events: Iterable[Event]) -> RunState:
    """The state of the last run in `events`.

    >>> state = replay([{"t": 1.0, "event": "start", "nodes": ["a"], "rows": {"a": 3}}])
    >>> state.nodes["a"].rows
    3
    """
    state = RunState()
    for event in events:
        state = apply_event(state, event)
    return state


def apply_event(state: RunState, event: Event) -> RunState:
    """The state after `event`. Unknown events change only the time."""
    name, state = event["event"], replace(state, now=event["t"])
    facts = {k: v for k, v in event.items() if k not in ("t", "event")}
    match name:
        case "start":
            return _started(state, facts)
        case "rows":
            return _changed(state, facts["node"], read=int(facts["rows"]))
        case "worker":
            for node in facts.get("nodes", ()):
                state = _changed(state, node, replaced=_known(state, node).replaced + 1, read=0)
            return replace(_without_broken(state), lost=(*state.lost, {**facts, **_when(state)}))
        case "broken":
            return replace(state, facts={**state.facts, name: facts})
        case "epoch":
            group = {**facts, **_when(state), "cause": state.get("broken").get("cause")}
            return replace(_without_broken(state), groups=(*state.groups, group))
        case "note":
            texts = dict.fromkeys([*state.get(name).get("texts", ()), facts["text"]])
            return replace(state, facts={**state.facts, name: {"texts": [*texts]}})
        case "step":
            return replace(state, steps=state.steps.add(facts, state.now))
        case "stream":
            return replace(state, stream=state.stream.add(facts))
        case "sites":
            return _with_sites(state, facts)
        case "round":
            return _with_round(state, facts)
        case "schema":
            for node, rows in facts.get("nodes", {}).items():  # rows of files are not known at the start
                state = _changed(state, node, rows=rows)
            return replace(state, turn=state.now, facts={**state.facts, name: facts})
        case "fold":
            state = state if state.get("fold") else replace(state, turn=state.now)
            return replace(state, facts={**state.facts, name: facts})
        case _ if name in ONCE:
            return replace(state, facts={**state.facts, name: facts})
    return state


def _started(state: RunState, facts: Facts) -> RunState:
    rows = facts.get("rows") or {}
    nodes = {node: NodeState(name=node, rows=rows.get(node)) for node in facts.get("nodes", ())}
    earlier = {name: value for name, value in state.facts.items() if name not in PER_RUN}
    return RunState(
        nodes=nodes, facts={**earlier, "start": facts}, began=state.now, turn=state.now, now=state.now
    )


def _with_sites(state: RunState, facts: Facts) -> RunState:
    """The state after a report on the sites of a federation."""
    left, known = facts.get("left"), state.sites
    sites = {name: followed(known.get(name), each, state.now) for name, each in facts["sites"].items()}
    return replace(state, sites=sites, deadline=None if left is None else state.now + left)


def _with_round(state: RunState, facts: Facts) -> RunState:
    """The state after a round."""
    nodes = {name: replace(node, read=0) for name, node in state.nodes.items()}
    sites = {name: after_round(site, state.now) for name, site in state.sites.items()}
    over = replace(state, nodes=nodes, sites=sites, deadline=None, turn=state.now)
    before = state.rounds if len(state.rounds) < MAX_ROUNDS else state.rounds[::2]
    return replace(over, rounds=(*before, facts))


def _without_broken(state: RunState) -> RunState:
    """The state once a broken connection of ranks is explained, or replaced by a new group."""
    return replace(state, facts={name: value for name, value in state.facts.items() if name != "broken"})


def _when(state: RunState) -> Facts:
    return {"step": state.counted[0], "t": state.now}


def _known(state: RunState, node: str) -> NodeState:
    return state.nodes.get(node, NodeState(name=node))


def _changed(state: RunState, node: str, **change: Any) -> RunState:
    return replace(state, nodes={**state.nodes, node: replace(_known(state, node), **change)})

"""What happened in a run, told from its events: the one thing that all views draw."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

from talkoot.watch.events import Event
from talkoot.watch.steps import Steps

Facts = Mapping[str, Any]
ONCE = ("log", "end", "advice", "check", "compare", "transfer", "verify")  # the last word counts

AGAIN = ("schema", "end", "advice", "fold")  # what each run has anew


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStory:
    """What one node is doing.

    Args:
        name: the node's name.
        rows: how many it holds, if known.
        read: rows read so far in the present round.
        replaced: how often its worker died and was replaced.
    """

    name: str
    rows: int | None = None
    read: int = 0
    replaced: int = 0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A run as its events tell it.

    Args:
        nodes: every node by its name, in the plan's order.
        rounds: facts of every round so far.
        steps: how a training goes that tells of its steps.
        groups: facts of every group of ranks that formed, after which "step" (or round), when ("t"), and
            the "cause" if the ranks of the one before lost each other.
        lost: facts of workers that died, after which "step" (or round) and when ("t").
        facts: of events that happen once, by their name: "start", "schema", "end", "verify", ...;
            under "note" the "texts" of all notes.
        began: when the run began, in seconds since 1970.
        turn: when the present round began.
        now: when the last event happened.
    """

    nodes: Mapping[str, NodeStory] = field(default_factory=dict)
    rounds: tuple[Facts, ...] = ()
    steps: Steps = field(default_factory=Steps)
    groups: tuple[Facts, ...] = ()
    lost: tuple[Facts, ...] = ()
    facts: Mapping[str, Facts] = field(default_factory=dict)
    began: float = 0.0
    turn: float = 0.0
    now: float = 0.0

    def get(self, event: str) -> Facts:
        """The facts of an event that happens once; empty if it did not happen."""
        return self.facts.get(event, {})

    @property
    def stepwise(self) -> bool:
        """Whether it is told by steps, not by rounds."""
        return self.steps.last is not None

    @property
    def counted(self) -> tuple[int, str]:
        """How many meetings there were, or folds of a comparison, and what they are called."""
        if self.get("fold"):
            return int(self.get("fold")["fold"]), "fold"
        return (self.steps.done, "step") if self.stepwise else (len(self.rounds), "round")

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
        """How long `node` worked, for each round that it took part in."""
        return [facts["nodes"][node] for facts in self.rounds if node in facts.get("nodes", {})]

    def failed(self, node: str) -> dict[int, str]:
        """Why `node` did not arrive, by round."""
        return {f["round"]: f["failed"][node] for f in self.rounds if node in f.get("failed", {})}

    def late(self, node: str) -> int:
        """In how many rounds `node` was still at work when they were over."""
        return sum(node in facts.get("late", ()) for facts in self.rounds)


def tell(events: Iterable[Event]) -> Story:
    """The story of the last run in `events`.

    >>> story = tell([{"t": 1.0, "event": "start", "nodes": ["a"], "rows": {"a": 3}}])
    >>> story.nodes["a"].rows
    3
    """
    story = Story()
    for event in events:
        story = after(story, event)
    return story


def after(story: Story, event: Event) -> Story:
    """The story once `event` has happened. Events that it does not know change nothing but the time."""
    name, story = event["event"], replace(story, now=event["t"])
    facts = {k: v for k, v in event.items() if k not in ("t", "event")}
    match name:
        case "start":
            return _started(story, facts)
        case "rows":
            return _changed(story, facts["node"], read=int(facts["rows"]))
        case "worker":
            for node in facts.get("nodes", ()):
                story = _changed(story, node, replaced=_known(story, node).replaced + 1, read=0)
            return replace(_mended(story), lost=(*story.lost, {**facts, **_when(story)}))
        case "broken":
            return replace(story, facts={**story.facts, name: facts})
        case "epoch":
            group = {**facts, **_when(story), "cause": story.get("broken").get("cause")}
            return replace(_mended(story), groups=(*story.groups, group))
        case "note":
            texts = dict.fromkeys([*story.get(name).get("texts", ()), facts["text"]])
            return replace(story, facts={**story.facts, name: {"texts": [*texts]}})
        case "step":
            return replace(story, steps=story.steps.told(facts, story.now))
        case "round":
            nodes = {name: replace(node, read=0) for name, node in story.nodes.items()}
            return replace(story, nodes=nodes, rounds=(*story.rounds, facts), turn=story.now)
        case "schema":
            for node, rows in facts.get("nodes", {}).items():  # files did not know at the start
                story = _changed(story, node, rows=rows)
            return replace(story, turn=story.now, facts={**story.facts, name: facts})
        case "fold":
            story = story if story.get("fold") else replace(story, turn=story.now)
            return replace(story, facts={**story.facts, name: facts})
        case _ if name in ONCE:
            return replace(story, facts={**story.facts, name: facts})
    return story


def _started(story: Story, facts: Facts) -> Story:
    rows = facts.get("rows") or {}
    nodes = {node: NodeStory(name=node, rows=rows.get(node)) for node in facts.get("nodes", ())}
    kept = {name: told for name, told in story.facts.items() if name not in AGAIN}
    return Story(nodes=nodes, facts={**kept, "start": facts}, began=story.now, turn=story.now, now=story.now)


def _mended(story: Story) -> Story:
    """Ranks that lost each other have an explanation, or have met again."""
    return replace(story, facts={name: told for name, told in story.facts.items() if name != "broken"})


def _when(story: Story) -> Facts:
    return {"step": story.counted[0], "t": story.now}


def _known(story: Story, node: str) -> NodeStory:
    return story.nodes.get(node, NodeStory(name=node))


def _changed(story: Story, node: str, **change: Any) -> Story:
    return replace(story, nodes={**story.nodes, node: replace(_known(story, node), **change)})

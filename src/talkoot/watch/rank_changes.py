"""Changes of the ranks during training: which died and why, and how many went on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from talkoot.watch import words
from talkoot.watch.state import Facts, RunState


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RankChange:
    """A change of the ranks."""

    step: int  # steps or rounds done before it
    at: float  # when, in seconds since 1970
    bad: bool  # a rank died or the connection broke; else ranks joined or left
    text: str


def rank_changes(state: RunState) -> list[RankChange]:
    """All changes, oldest first.

    >>> from talkoot.watch.state import replay
    >>> lost = {"event": "worker", "worker": 1, "nodes": [], "name": "process 7", "cause": "was killed"}
    >>> met = {"event": "epoch", "ranks": 2}
    >>> state = replay({"t": float(i), **event} for i, event in enumerate([met, lost, met]))
    >>> [change.text for change in rank_changes(state)]
    ['before the first round: rank 1 (process 7) was killed; on with 2 ranks']
    """
    found, since = [], state.began
    unit = state.counted[1]
    for i, group in enumerate(state.groups):
        lost = [facts for facts in state.lost if "name" in facts and since <= facts["t"] <= group["t"]]
        if i or lost:
            found.append(_change(lost, group, unit))
        since = group["t"]
    late = [facts for facts in state.lost if "name" in facts and facts["t"] > since]
    return [*found, *(_change([facts], None, unit) for facts in late)]


def _change(lost: list[Facts], group: Facts | None, unit: str) -> RankChange:
    causes = [f"rank {facts['worker']} ({facts['name']}) {facts['cause']}" for facts in lost]
    if group is not None and group.get("cause"):
        causes = [f"the ranks lost each other ({group['cause']})"]
    on = [] if group is None else [f"on with {words.many(group['ranks'], 'rank')}"]
    first = [*lost, group][0]
    assert first is not None
    step = first["step"]
    when = f"after {unit} {words.count(step)}" if step else f"before the first {unit}"
    text = f"{when}: {'; '.join([*causes, *on])}"
    return RankChange(step=step, at=first["t"], bad=bool(causes), text=text)

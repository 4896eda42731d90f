"""What befell the ranks of a training: which died and why, and with how many it went on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from talkoot.watch import words
from talkoot.watch.story import Facts, Story


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """Something that happened to the ranks.

    Args:
        step: steps, or rounds, that had been done.
        at: when, in seconds since 1970.
        bad: whether a rank was lost, or the ranks lost each other; else more came, or some left.
        text: what it was, in words.
    """

    step: int
    at: float
    bad: bool
    text: str


def mishaps(story: Story) -> list[Mishap]:
    """All of them, oldest first.

    >>> from talkoot.watch.story import tell
    >>> lost = {"event": "worker", "worker": 1, "nodes": [], "name": "process 7", "cause": "was killed"}
    >>> met = {"event": "epoch", "ranks": 2}
    >>> story = tell({"t": float(i), **event} for i, event in enumerate([met, lost, met]))
    >>> [mishap.text for mishap in mishaps(story)]
    ['before the first round: rank 1 (process 7) was killed; on with 2 ranks']
    """
    found, since = [], story.began
    unit = story.counted[1]
    for i, group in enumerate(story.groups):
        lost = [facts for facts in story.lost if "name" in facts and since <= facts["t"] <= group["t"]]
        if i or lost:
            found.append(_mishap(lost, group, unit))
        since = group["t"]
    late = [facts for facts in story.lost if "name" in facts and facts["t"] > since]
    return [*found, *(_mishap([facts], None, unit) for facts in late)]


def _mishap(lost: list[Facts], group: Facts | None, unit: str) -> Mishap:
    causes = [f"rank {facts['worker']} ({facts['name']}) {facts['cause']}" for facts in lost]
    if group is not None and group.get("cause"):
        causes = [f"the ranks lost each other ({group['cause']})"]
    on = [] if group is None else [f"on with {words.many(group['ranks'], 'rank')}"]
    first = [*lost, group][0]
    assert first is not None
    step = first["step"]
    when = f"after {unit} {words.count(step)}" if step else f"before the first {unit}"
    text = f"{when}: {'; '.join([*causes, *on])}"
    return Mishap(step=step, at=first["t"], bad=bool(causes), text=text)

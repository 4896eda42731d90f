"""A round at the coordinator: answers are decoded and added one at a time, in the order of the sites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError, TalkootError
from talkoot.core.round import UPDATE, Merged, Round
from talkoot.core.update import Leaf, Update
from talkoot.engines.events import Action, Answer, Answered, Seen, Slot
from talkoot.engines.gathering import TICK, Gathering
from talkoot.formats.answers import answer_from_bytes
from talkoot.guards.mask.leaf import Masked
from talkoot.guards.ring import Ring

LONGER = "See that its program runs and reaches the coordinator, have silence in coordinator.toml raised"


@final
@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """What a site has sent."""

    site: str
    frame: memoryview  # its answer as bytes, which belong to the round
    seconds: float = 0.0
    restarted: bool = False


@final
@dataclass(slots=True, eq=False)
class GatheredRound:
    """The rounds of one placement, without a clock and without wires.

    Where all sites are needed, an answer that comes early waits as bytes until it is its turn in the sum.

    Args:
        sites: the sites of the run.
        each: answers stay apart.
        silence: seconds without a sign of life after which a site is given up.
        finite: refuse numbers that are infinite or missing.
    """

    sites: Sequence[str]
    each: bool
    silence: float
    finite: bool = False
    gathering: Gathering = field(init=False)
    slots: dict[str, Slot] = field(init=False)
    early: dict[str, Arrival] = field(default_factory=dict)
    held: dict[str, memoryview] = field(
        default_factory=dict
    )  # frames of those that are added when the round ends
    total: Update = field(default_factory=Update)  # the sum so far, where all are needed
    forms: dict[str, tuple[str, str]] = field(default_factory=dict)  # leaf -> who sent it first, and its form

    def __post_init__(self) -> None:
        self.slots = {name: Slot(number, frozenset([name])) for number, name in enumerate(self.sites)}
        self.gathering = Gathering(
            slots=list(self.slots.values()),
            each=self.each,
            silence=self.silence,
            worker="the site",
            longer=LONGER,
        )

    def begin(self, rnd: Round, now: float) -> list[Action]:
        """Begin a round."""
        self.early, self.forms, self.total = {}, {}, Update()
        actions = self.gathering.begin(rnd, now)
        late = {
            name for answer in self.gathering.late for name in answer.nodes
        }  # of a round that was dropped
        self.held = {name: frame for name, frame in self.held.items() if name in late}
        return actions

    def arrived(self, arrival: Arrival) -> None:
        """Take in what a site has sent; `add` adds it."""
        if arrival.site in self.waited:
            self.early[arrival.site] = arrival

    def add(self, now: float) -> list[Action] | None:
        """Add the answer whose turn it is; None if that one is not here."""
        if (turn := self._turn()) is None:
            return None
        answer = self._answer(self.early.pop(turn))
        return self.gathering.on(Answered(self.slots[turn], answer), now)

    @property
    def waited(self) -> list[str]:
        """The sites whose answer is not here."""
        return [name for name, slot in self.slots.items() if slot.pending and name not in self.early]

    def look(self, beats: Mapping[str, int], moved: Mapping[str, float], now: float) -> list[Action]:
        """Look at the sites that have not answered.

        Args:
            beats: signs of life of each site so far.
            moved: when bytes of frames went to or from each site last: its deadline starts anew then.
            now: the time.
        """
        actions: list[Action] = []
        deadline = self.gathering.rnd.meeting.deadline
        for name in self.waited:
            if deadline is None or now - moved.get(name, 0.0) >= deadline or now < self.gathering.ends:
                actions += self.gathering.on(Seen(self.slots[name], beats.get(name, 0), None), now)
        return actions

    def over(self, now: float) -> bool:
        """Whether nothing is waited for."""
        return self.gathering.over(now)

    def wait(self, now: float) -> float:
        """Seconds until something is to be done."""
        return self.gathering.wait(now) or TICK

    def end(self) -> tuple[Merged, list[Action]]:
        """What came of the round, and what is to be done about it."""
        self.early.clear()
        merged, actions = self.gathering.merged(), self.gathering.end()
        if self._adds_at_end:
            updates = (_update(self.held[name]) for name in merged.arrived)
            merged = replace(merged, update=reduce(accumulated, updates, Update()))
        elif not self.gathering.apart:
            merged, self.total = replace(merged, update=self.total), Update()
        return merged, actions

    @property
    def _adds_at_end(self) -> bool:
        """Whether the sum is taken once it is known who has arrived; frames are held until then."""
        rnd = self.gathering.rnd
        return rnd.phase == UPDATE and rnd.meeting.quorum is not None and not self.each

    def _turn(self) -> str | None:
        """A site that has answered and whose turn it is."""
        if self.gathering.apart:
            return next(iter(self.early), None)
        for name in self.gathering.rnd.cohort:
            if name in self.slots and self.slots[name].pending:
                return name if name in self.early else None
        return None

    def _answer(self, arrival: Arrival) -> Answer:
        name, seconds = arrival.site, {arrival.site: arrival.seconds}
        try:
            found = answer_from_bytes(arrival.frame, finite=self.finite)
            if isinstance(found, Update):
                self._require_forms(name, found)
        except TalkootError as error:
            found = error
        if isinstance(found, TalkootError):
            step = f"round {self.gathering.rnd.index}"
            return Answer(failed={name: found.at(node=name, step=step)}, seconds=seconds)
        if self._adds_at_end:
            self.held[name], found = arrival.frame, Update()
        elif not self.gathering.apart:
            self.total, found = accumulated(self.total, found), Update()
        return Answer(
            nodes=(name,), update=found, seconds=seconds, restarted=(name,) if arrival.restarted else ()
        )

    def _require_forms(self, site: str, update: Update) -> None:
        """Refuse an update that cannot be added to those before.

        Raises:
            DataError: a leaf has another shape, or words of another width, than at another site.
        """
        if self.each or self.gathering.rnd.phase != UPDATE:
            return
        for leaf, value in update.values.items():
            if update.kind(leaf) is Leaf.UNION or not hasattr(value, "shape"):
                continue
            for name, form in _forms(leaf, value):
                other, known = self.forms.setdefault(name, (site, form))
                if form != known:
                    raise DataError(
                        f"leaf {name!r:.80} of its update has {form:.200}, and {known:.200} at {other}",
                        node=site,
                    )


def _forms(leaf: str, value: Any) -> Iterator[tuple[str, str]]:
    """What leaves must share to be added, by name."""
    if isinstance(value, Masked):
        yield leaf, f"the leaves {', '.join(sorted(value.leaves))}"
        for name, ring in value.leaves.items():
            yield from _forms(f"{leaf}/{name}", ring)
    else:
        yield leaf, f"the form {value.form}" if isinstance(value, Ring) else f"shape {tuple(value.shape)}"


def _update(frame: memoryview) -> Update:
    """The update of a frame that was looked at when it arrived, and stays as it is."""
    found = answer_from_bytes(frame.toreadonly())
    assert isinstance(found, Update)
    return found


def accumulated(total: Update, part: Update) -> Update:
    """The sum of both, in the memory of the first where that can be: both belong to this sum alone."""
    if set(total.values) != set(part.values) or not all(_fits(total, part, name) for name in total.values):
        return total + part
    for name, value in total.values.items():
        value += part.values[name]
    return Update(values=total.values, weight=total.weight + part.weight, kinds=total.kinds)


def _fits(total: Update, part: Update, name: str) -> bool:
    """Whether a leaf can be added in place, with the same result."""
    one, other = total.values[name], part.values[name]
    return (
        total.kind(name) is part.kind(name) is Leaf.SUM
        and isinstance(one, np.ndarray)
        and isinstance(other, np.ndarray)
        and one.flags.writeable
        and (one.dtype, one.shape) == (other.dtype, other.shape)
    )

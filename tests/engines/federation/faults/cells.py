"""The matrix of faults: which fault, at whom, in which phase of a run, and what came of it."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from stage import HUB, OWN, SITES, Stage
from tally import tallied

from patience import soon

DEADLINE = 3.0  # seconds of a round, after which a site that does not answer is given up
Act = Callable[[Stage, str], None]


@dataclass(frozen=True)
class Fault:
    """Something that happens to a party, and how it ends.

    Args:
        begin, end: what happens.
        silent: nobody can notice it.
        sign: what somebody prints once it has had its effect, besides that the party is gone.
    """

    begin: Act
    end: Act
    silent: bool = False
    sign: str = ""


def _nothing(stage: Stage, party: str) -> None:
    del stage, party


def _signal(number: signal.Signals) -> Act:
    return lambda stage, party: stage.program(party).process.send_signal(number)


def _network(what: str) -> Act:
    return lambda stage, party: getattr(stage.hosts, what)(stage.host(party))


FAULTS = {
    "kill -9": Fault(Stage.restart, _nothing, silent=True),
    "SIGSTOP": Fault(_signal(signal.SIGSTOP), _signal(signal.SIGCONT)),
    "partition": Fault(_network("cut"), _network("heal")),
    "one-way loss": Fault(_network("mute"), _network("heal")),
    "duplicated packets": Fault(_network("double"), _network("heal"), silent=True),
    "disk full": Fault(Stage.fill, Stage.clear),
    "clock off": Fault(Stage.misset, Stage.set, sign="the clocks differ"),
}
MOMENTS = {  # of a run: (masked, (placement, round, phase))
    "round 0": (True, (0, 0, "update")),
    "sums of round 0": (True, (1, 0, "shares")),
    "placement": (True, (2, 0, "keys")),
    **{phase: (True, (2, 1, phase)) for phase in ("keys", "shares", "update", "survivors", "unmask")},
    "plain placement": (False, (1, 0, "update")),
    "plain": (False, (1, 1, "update")),
}


@dataclass(frozen=True)
class Cell:
    """One fault at one party in one moment of a run."""

    fault: str
    party: str  # "coordinator" or "site"
    moment: str

    def __str__(self) -> str:
        return f"{self.fault} of the {self.party}, {self.moment}"

    @property
    def chance(self) -> random.Random:
        return random.Random(str(self))


def cells(*faults: str) -> Iterator[Cell]:
    for fault in faults or FAULTS:
        for party in ("coordinator", "site"):
            for moment in MOMENTS:
                yield Cell(fault, party, moment)


@dataclass(frozen=True)
class Outcome:
    """What came of a cell.

    Args:
        errors: what the researcher read before he made the call again.
        missed: in how many rounds that counted the party is missing.
        again: how many rounds did not count.
    """

    errors: tuple[str, ...]
    missed: int
    again: int


def outcome(stage: Stage, cell: Cell) -> Outcome:
    """Bring a fault about while a run is under way, see that the run ends as it should, and mend it.

    The fault comes before anybody works in this phase, or once the party has its answer and another one,
    which is stopped, has not.
    """
    chance, fault = cell.chance, FAULTS[cell.fault]
    masked, place = MOMENTS[cell.moment]
    name = HUB if cell.party == "coordinator" else chance.choice(SITES)
    other = chance.choice([site for site in SITES if site != name])
    job: dict[str, Any] = {"purpose": str(cell), "chain": "masked" if masked else "plain"}
    job |= {"deadline": DEADLINE, "last": [2 if masked else 1, 3]}
    stage.researcher.call(**job, stop=place)
    assert "at" in stage.researcher.until(place)
    before = _signs(stage, name, fault)
    if chance.random() < 0.5:
        fault.begin(stage, name)
        stage.researcher.go()
    else:
        _within(stage, name, other, fault)
    seen = stage.researcher.seen
    if not fault.silent:
        assert soon(lambda: stage.researcher.seen > seen or _signs(stage, name, fault) > before, 60), (
            "unnoticed"
        )
        if fault.sign:
            assert soon(lambda: _signs(stage, name, fault) > before, 60), fault.sign
    fault.end(stage, name)
    errors = list[str]()
    while "error" in (result := stage.researcher.result()):
        errors.append(f"{result['error']}: {result['text']}")
        assert len(errors) < 3, errors
        stage.researcher.call(**job, stop=None)
    if cell.fault == "duplicated packets":
        stage.hosts.heal(stage.host(name))
    return _judged(result, name, errors, exact=masked)


def _within(stage: Stage, name: str, other: str, fault: Fault) -> None:
    """Bring a fault about in the middle of a phase."""
    stopped = stage.program(other).process
    stopped.send_signal(signal.SIGSTOP)
    watched = name if name != HUB else next(site for site in SITES if site != other)
    sent = stage.sent(watched)
    stage.researcher.go()
    assert soon(lambda: stage.sent(watched) > sent, 60), "no answer"
    fault.begin(stage, name)
    stopped.send_signal(signal.SIGCONT)


def _signs(stage: Stage, name: str, fault: Fault) -> int:
    if not fault.sign:
        return stage.notices(name)
    return sum(program.printed.count(fault.sign) for program in stage.made.made)


def _judged(result: dict[str, Any], name: str, errors: list[str], *, exact: bool) -> Outcome:
    """The answer is right to the last bit, and whoever was gone is there in the end."""
    counted = [arrived for _, arrived, committed, _ in result["history"] if committed]
    expected = tallied(counted, OWN, exact=exact)
    assert result["model"] == [expected.hex()], (result, expected)
    assert all(len(arrived) >= 3 for arrived in counted)
    last = result["history"][-1]
    assert last[1:3] == [list(SITES), True], result["history"]
    missed = sum(name not in arrived for arrived in counted) if name != HUB else 0
    return Outcome(tuple(errors), missed, len(result["history"]) - len(counted))

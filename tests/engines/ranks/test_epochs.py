"""Epochs by script: ranks that die, fall silent, lose each other or stop, on a clock that the test moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from talkoot.core.engine import Run
from talkoot.core.errors import NodeFailed, NodeLost
from talkoot.core.plan import Plan
from talkoot.core.shard import UNKNOWN
from talkoot.core.sync import rounds
from talkoot.core.update import Update
from talkoot.engines.events import Report
from talkoot.engines.ranks.supervision.epochs import (
    BREAKS,
    DEATHS,
    REFORM,
    Action,
    Died,
    Drain,
    End,
    Epochs,
    Event,
    Fail,
    Form,
    Rank,
    Received,
    Seen,
    Start,
    Started,
    Tick,
)
from talkoot.engines.ranks.supervision.messages import (
    EpochBroken,
    RankDone,
    RankError,
    RankStopped,
    RunEvent,
)
from talkoot.testing.toys import Walk

CALM = 10.0  # seconds of silence that are allowed
RESULT = Run(Plan(Walk(), sync=rounds(1)), UNKNOWN, 1.0, 1.0, Update(), ())


@dataclass
class Script:
    """Carries out actions on processes that are only names; `there` more can be started without waiting."""

    count: int = 3
    there: int = 100
    now: float = 0.0
    epochs: Epochs = field(init=False)
    names: int = 0
    waits: list[bool] = field(default_factory=list)  # of each start
    formed: list[str] = field(
        default_factory=list
    )  # the ranks of each epoch, in order; behind it "!" if they are to stop
    ended: str = ""
    reports: list[tuple[str, Any]] = field(default_factory=list)
    drained: int = 0
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self.epochs = Epochs(count=self.count, silence=CALM)
        self.carry_out(self.epochs.fill(self.count))

    def on(self, event: Event, after: float = 0.0) -> None:
        self.now += after
        self.carry_out(self.epochs.on(event, self.now))

    def carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            assert self.error is None, "nothing is done behind an error"
            match action:
                case Start(wait):
                    self.waits.append(wait)
                    self.on(Started(self.start() if wait or self.there else None))
                case Form(epoch, ranks, drain):
                    assert epoch == len(self.formed)
                    assert [rank.number for rank in ranks] == list(range(len(ranks)))
                    self.formed.append("".join(rank.name for rank in ranks) + "!" * drain)
                case Drain():
                    self.drained += 1
                case End(rank):
                    self.ended += rank.name
                case Report(event, facts):
                    self.reports.append((event, facts))
                case Fail(error):
                    self.error = error

    def start(self) -> Rank:
        self.there, self.names = max(0, self.there - 1), self.names + 1
        return Rank(chr(ord("a") + self.names - 1))

    def rank(self, number: int) -> Rank:
        return self.epochs.ranks[number]

    def receive(self, number: int, message: Any, after: float = 0.0) -> None:
        self.on(Received(self.rank(number), message), after)

    def step(self, step: int) -> None:
        self.receive(0, RunEvent("step", {"step": step}))

    def lose(self, number: int, cause: str = "was killed (SIGKILL)") -> None:
        self.on(Died(self.rank(number), cause))

    def lose_contact(self, *numbers: int) -> None:
        for number in numbers:
            self.receive(number, EpochBroken(self.epochs.epoch, "connection reset"))

    def done(self, number: int) -> None:
        self.receive(number, RankDone(self.epochs.epoch, None if number else RESULT))

    def of(self, event: str) -> list[Any]:
        return [facts for name, facts in self.reports if name == event]


def test_the_first_epoch_waits_for_all_ranks() -> None:
    script = Script(3, there=0)
    assert (script.waits, script.formed) == ([True] * 3, ["abc"])
    assert script.reports == [("epoch", {"epoch": 0, "ranks": 3})]


def test_a_dead_rank_is_replaced_and_the_others_go_on_with_the_new_one() -> None:
    script = Script(3)
    script.lose(1)
    assert script.formed == ["abc", "acd"]
    assert script.of("worker") == [
        {"worker": 1, "nodes": [], "cause": "was killed (SIGKILL)", "name": "b"},
    ]
    assert script.of("epoch")[-1] == {"epoch": 1, "ranks": 3}


def test_where_there_is_no_other_process_the_rest_go_on_until_there_is_one() -> None:
    script = Script(3, there=3)
    script.lose(0)
    assert script.formed == ["abc", "bc"]
    script.on(Tick())
    assert script.formed == ["abc", "bc"], "nobody came"
    script.there = 1
    script.on(Tick())
    assert script.formed == ["abc", "bc", "bcd"]
    assert script.waits[3:] == [False] * 3


def test_without_any_rank_left_one_is_waited_for() -> None:
    script = Script(2, there=2)
    script.lose(0)
    script.lose(0)
    assert (script.waits[2:], script.formed) == ([False, True, False], ["ab", "b", "c"])


def test_ranks_that_die_again_and_again_are_given_up() -> None:
    script = Script(2)
    script.step(7)
    for _ in range(DEATHS):
        assert script.error is None
        script.lose(1, "exited with status 1")
    assert isinstance(script.error, NodeLost)
    assert str(script.error) == (
        "node 'rank 1', after step 7: its process exited with status 1; so did 2 others before the training "
        "came any further. Something in the task ends its process, such as os._exit(); Inline() shows where."
    )
    assert len(script.of("worker")) == DEATHS, "each is reported, also the last one"
    assert len(script.formed) == DEATHS


def test_progress_starts_the_counts_anew() -> None:
    script = Script(2)
    for step in range(1, 3 * DEATHS):
        script.lose(1)
        script.lose_contact(0)
        script.on(Tick(), REFORM + 0.1)
        script.step(step)
    assert script.error is None
    script.receive(0, RunEvent("note", {"text": "no step"}))
    for _ in range(DEATHS):
        script.step(3 * DEATHS - 1)  # the last one, done again
        script.lose(1)
    assert isinstance(script.error, NodeLost)


def test_who_loses_contact_waits_for_the_messages_of_the_others() -> None:
    script = Script(2)
    script.lose_contact(1, 0)
    assert [facts["worker"] for facts in script.of("broken")] == [1, 0]
    script.on(Tick(), REFORM)
    assert script.formed == ["ab"]
    script.on(Tick(), 0.1)
    assert script.formed == ["ab", "ab"]
    script.receive(0, EpochBroken(0, "late word of the first epoch"))
    script.on(Tick(), REFORM + 1)
    assert len(script.formed) == 2, "a message of an earlier epoch breaks nothing"


def test_a_death_behind_a_lost_connection_forms_the_epoch_at_once() -> None:
    script = Script(2)
    script.lose_contact(0)
    script.lose(1)
    assert script.formed == ["ab", "ac"]
    script.on(Tick(), REFORM + 1)
    assert script.formed == ["ab", "ac"], "and only once"


def test_groups_that_break_again_and_again_are_given_up() -> None:
    script = Script(2)
    script.step(4)
    for number in range(1, BREAKS):
        script.lose_contact(0, 1)
        assert (script.error, script.epochs.breaks) == (None, number), "both saw the same break"
        script.on(Tick(), REFORM + 0.1)
    script.lose_contact(1)
    assert isinstance(script.error, NodeLost)
    assert str(script.error) == (
        "node 'rank 1', after step 4: it lost the other ranks 5 times before the training came any further "
        "(connection reset). See whether the machines reach each other and have time to spare for the ranks."
    )
    assert len(script.formed) == BREAKS


def test_an_error_at_one_rank_stops_all() -> None:
    script, error = Script(3), NodeFailed("as scripted", node="rank 2")
    script.receive(2, RankError(error))
    assert script.error is error


def test_a_silent_rank_is_ended_and_replaced() -> None:
    script = Script(2)
    silent, alive = script.rank(0), script.rank(1)
    for beats in range(5):
        script.on(Seen(alive, beats), 3.0)
        script.on(Seen(silent, min(beats, 1)))
    assert script.ended == "", "for 9 s so far"
    script.on(Seen(silent, 1), 1.0)
    assert script.ended == "", "for 10 s"
    script.on(Seen(silent, 1), 0.5)
    assert (script.ended, script.formed) == ("a", ["ab", "bc"])
    assert script.of("worker")[0]["cause"] == "gave no sign of life for 10 s and was ended"
    script.on(Seen(script.rank(1), -1), CALM)
    assert script.ended == "a", "a new rank has its own time"


def test_a_rank_that_is_to_go_is_replaced_and_that_is_no_death() -> None:
    script = Script(2)
    for number in range(DEATHS + 1):
        script.receive(1, RankStopped(number, terminated=True))
        script.receive(0, RankStopped(number, terminated=False))
    assert (script.error, script.ended, script.formed) == (None, "bcde", ["ab", "ac", "ad", "ae", "af"])
    assert script.of("worker")[0]["cause"] == "got SIGTERM and stopped after step 0"


def test_it_is_over_when_all_ranks_are_done() -> None:
    assert not Epochs(count=1, silence=CALM).over
    script = Script(2)
    script.receive(0, RankDone(7, RESULT))
    script.done(1)
    assert not script.epochs.over, "that was of no epoch of ours, and the first rank has the result"
    script.done(0)
    assert script.epochs.over
    assert script.epochs.result is RESULT


def test_who_dies_while_others_finish_is_replaced_so_that_they_are_not_left_alone() -> None:
    script = Script(2)
    script.done(0)
    script.lose(1)
    assert script.formed == ["ab", "ac"]
    script.done(1)
    assert not script.epochs.over, "the first rank takes part again"
    script.done(0)
    assert script.epochs.over


def test_no_rank_is_started_once_the_result_is_there() -> None:
    script = Script(3, there=3)
    script.lose(2)
    script.done(0)
    script.there = 1
    script.on(Tick())
    assert script.formed == ["abc", "ab"]
    script.done(1)
    assert script.epochs.over


def test_sigterm_lets_all_ranks_save_and_exits_behind_the_last() -> None:
    script = Script(3)
    for _ in range(3):
        script.on(Tick(terminated=True))
    assert script.drained == 1
    script.receive(1, RankStopped(5, terminated=False))
    script.lose(0)
    script.on(Tick(terminated=True))
    assert (script.error, script.ended, len(script.waits)) == (None, "b", 3)
    script.receive(0, RankStopped(5, terminated=True))
    assert isinstance(script.error, SystemExit)
    assert (script.error.code, script.ended, script.formed) == (143, "bc", ["abc"])
    assert script.of("worker") == []


def test_who_is_lost_while_all_save_is_not_replaced_and_the_others_save_without_it() -> None:
    script = Script(3)
    script.on(Tick(terminated=True))
    script.lose(1)
    script.on(Seen(script.rank(1), 5))
    script.on(Seen(script.rank(1), 5), CALM + 1)
    assert (script.ended, len(script.waits)) == ("c", 3)
    script.lose_contact(0)
    script.on(Tick(terminated=True), REFORM + 0.1)
    assert script.formed == ["abc", "a!"]
    script.receive(0, RankStopped(6, terminated=False))
    assert isinstance(script.error, SystemExit)
    assert script.of("worker") == []


def test_sigterm_between_two_epochs_is_not_forgotten() -> None:
    script = Script(2)
    script.lose_contact(0, 1)
    script.on(Tick(terminated=True), REFORM + 0.1)
    script.on(Tick(terminated=True))
    assert script.formed == ["ab", "ab!"]


def test_a_training_that_is_done_before_it_drains_has_its_result() -> None:
    script = Script(2)
    script.on(Tick(terminated=True))
    script.done(1)
    script.done(0)
    assert script.epochs.over


EVENTS = st.lists(st.tuples(st.sampled_from("ldbsqvt"), st.integers(0, 2), st.floats(0.0, 6.0)), max_size=40)


@given(EVENTS, st.integers(0, 8))
def test_every_epoch_is_formed_of_those_who_are_there(
    events: list[tuple[str, int, float]], there: int
) -> None:
    script = Script(3, there)
    gone = ""
    for what, number, took in events:
        if script.error is not None or script.epochs.over:
            break
        number %= len(script.epochs.ranks)
        rank = script.rank(number)
        script.now += took
        match what:
            case "l":
                gone += rank.name
                script.lose(number)
            case "d":
                script.done(number)
            case "b":
                script.lose_contact(number)
            case "s":
                script.step(int(took))
            case "q":
                script.receive(number, RankStopped(1, terminated=True))
            case "v":
                script.on(Seen(rank, 0))
            case "t":
                script.on(Tick())
        if script.error is None:
            assert script.formed[-1] == "".join(rank.name for rank in script.epochs.ranks)
            assert not set(script.formed[-1]) & set(gone + script.ended), "of nobody who is gone"
            assert 0 < len(script.epochs.ranks) <= 3
    if script.error is not None:
        assert script.epochs.deaths == DEATHS or script.epochs.breaks == BREAKS

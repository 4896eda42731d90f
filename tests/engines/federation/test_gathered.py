"""A round at the coordinator, by script: the order of sums, deadlines that progress renews, returns."""

from __future__ import annotations

import itertools
import math
import weakref
from typing import Any

import numpy as np
import pytest

from talkoot.core.errors import DataError, NodeSilent
from talkoot.core.round import Meeting, Round
from talkoot.core.update import Update
from talkoot.engines.events import Action, Request, Stop
from talkoot.engines.federation.coordinator.gathered import Arrival, GatheredRound
from talkoot.formats.answers import answer_to_bytes
from talkoot.guards.mask.leaf import Masked
from talkoot.guards.ring import Ring

SITES = ("a", "b", "c")


def begun(each: bool = False, silence: float = math.inf, **meeting: Any) -> GatheredRound:
    gathered = GatheredRound(SITES, each, silence)
    actions = gathered.begin(Round(index=0, cohort=SITES, meeting=Meeting(**meeting)), 0.0)
    assert [action.nodes for action in actions if isinstance(action, Request)] == [("a",), ("b",), ("c",)]
    return gathered


def arrival(site: str, *values: float) -> Arrival:
    data = answer_to_bytes(Update(values={"x": np.array(values)}, weight=1.0))
    return Arrival(site, memoryview(bytearray(data)))


def arrived(gathered: GatheredRound, arrival: Arrival, now: float) -> list[Action]:
    """Take an answer in, and add all whose turn it is."""
    gathered.arrived(arrival)
    actions: list[Action] = []
    while (found := gathered.add(now)) is not None:
        actions += found
    return actions


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_sums_are_taken_in_the_order_of_the_sites_and_one_frame_at_a_time(order: tuple[int, ...]) -> None:
    parts, gathered = (0.1, 1e16, -1e16), begun()
    for at in order:
        arrived(gathered, arrival(SITES[at], parts[at]), 1.0)
    assert gathered.over(1.0)
    merged, _ = gathered.end()
    assert merged.update.values["x"].tolist() == [(0.1 + 1e16) + -1e16]
    assert not gathered.early


def test_a_frame_is_let_go_as_soon_as_it_is_added_whichever_came_last() -> None:
    gathered, frames = begun(), list[weakref.ref[np.ndarray]]()
    for site in reversed(SITES):
        frame = np.frombuffer(arrival(site, 1.0).frame, np.uint8).copy()
        gathered.arrived(Arrival(site, frame.data))
        frames.insert(0, weakref.ref(frame))
        del frame
    for left in ([True, True, True], [True, False, True], [True, False, False]):
        assert gathered.add(1.0) is not None
        assert [frame() is not None for frame in frames] == left  # the first is the memory of the sum
    assert gathered.add(1.0) is None
    merged, _ = gathered.end()
    assert merged.update.values["x"].tolist() == [3.0]


def test_a_late_answer_counts_in_the_next_round_that_counts_with_the_numbers_that_it_had() -> None:
    gathered = begun(quorum=2, grace=0.5)
    arrived(gathered, arrival("a", 1.0), 1.0)
    arrived(gathered, arrival("b", 2.0), 2.0)
    assert gathered.over(4.0)
    merged, _ = gathered.end()
    assert merged.update.values["x"].tolist() == [3.0]
    meeting = Meeting(quorum=3, grace=0.5)
    gathered.begin(Round(index=1, cohort=SITES, meeting=meeting), 5.0)
    arrived(gathered, arrival("c", 10.0), 6.0)  # of the round before
    arrived(gathered, arrival("a", 1.0), 6.0)
    merged, _ = gathered.end()
    assert (merged.arrived, merged.update.values["x"].tolist()) == (("a", "c"), [11.0])
    gathered.begin(Round(index=2, cohort=SITES, dropped=(1,), meeting=meeting), 7.0)
    arrived(gathered, arrival("a", 1.0), 8.0)
    merged, _ = gathered.end()
    assert (merged.arrived, merged.update.values["x"].tolist()) == (("a", "c"), [11.0])


def test_what_came_early_is_not_waited_for() -> None:
    gathered = begun(deadline=5.0)
    arrived(gathered, arrival("c", 1.0), 1.0)
    assert gathered.waited == ["a", "b"]
    gathered.look({}, {}, 6.0)
    merged, _ = gathered.end()
    assert sorted(merged.failed) == ["a", "b"]


def test_a_deadline_starts_anew_while_bytes_move() -> None:
    gathered = begun(deadline=5.0, quorum=2)
    arrived(gathered, arrival("a", 1.0), 1.0)
    arrived(gathered, arrival("b", 1.0), 1.0)
    for now in (4.0, 8.0, 12.0):
        assert gathered.look({}, {"c": now - 1.0}, now) == []
    actions = gathered.look({}, {"c": 11.0}, 16.0)
    assert [type(action) for action in actions] == [Stop]
    merged, _ = gathered.end()
    assert (merged.arrived, list(merged.failed)) == (("a", "b"), ["c"])
    assert isinstance(merged.failed["c"], NodeSilent)
    again = gathered.begin(Round(index=1, cohort=SITES, meeting=Meeting(quorum=2)), 20.0)
    assert ("c",) in [action.nodes for action in again if isinstance(action, Request)]  # it may come back


def test_a_site_without_a_sign_of_life_is_given_up_and_one_that_gives_some_is_not() -> None:
    gathered = begun(silence=1.0, quorum=1)
    times = [step / 4 for step in range(1, 12)]
    for step, now in enumerate(times):
        gathered.look({"a": step, "b": 7}, {}, now)
    assert gathered.waited == ["a"]


def test_an_update_of_another_shape_names_both_sites() -> None:
    gathered = begun()
    arrived(gathered, arrival("a", 1.0), 1.0)
    arrived(gathered, arrival("b", 1.0, 2.0), 1.0)
    merged, _ = gathered.end()
    assert isinstance(merged.failed["b"], DataError)
    assert "shape (2,), and shape (1,) at a" in str(merged.failed["b"])


@pytest.mark.parametrize("quorum", [None, 1])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("limbs", "dtype", "fraction"), [(2, "int64", 0), (4, "float64", 96), (1, "float64", 9)]
)
def test_words_of_another_width_name_both_sites(
    limbs: int, dtype: str, fraction: int, masked: bool, quorum: int | None
) -> None:
    def sent(site: str, limbs: int, dtype: str, fraction: int) -> Arrival:
        words = np.ones((limbs, 3), np.uint64)
        leaf: Any = Ring(words=words, shape=(3,), dtype=dtype, fraction=fraction)
        update = Update(values={"x": Masked({"counts": leaf}) if masked else leaf})
        return Arrival(site, memoryview(bytearray(answer_to_bytes(update))))

    gathered = begun(quorum=quorum)
    arrived(gathered, sent("a", 1, "int64", 0), 1.0)
    arrived(gathered, sent("b", limbs, dtype, fraction), 1.0)
    merged, _ = gathered.end()
    assert isinstance(merged.failed["b"], DataError)
    place = "x/counts" if masked else "x"
    ours, theirs = ((3,), 0, "uint64", 1), ((3,), fraction, "uint64", limbs)
    assert f"leaf {place!r} of its update has the form {theirs}, and the form {ours} at a" in str(
        merged.failed["b"]
    )


def test_other_leaves_under_a_mask_name_both_sites() -> None:
    leaf = Ring(words=np.ones((1, 3), np.uint64), shape=(3,), dtype="int64", fraction=0)
    gathered = begun()
    for site, names in (("a", "xy"), ("b", "x")):
        data = answer_to_bytes(Update(values={"sum": Masked(dict.fromkeys(names, leaf))}))
        arrived(gathered, Arrival(site, memoryview(bytearray(data))), 1.0)
    merged, _ = gathered.end()
    assert "leaf 'sum' of its update has the leaves x, and the leaves x, y at a" in str(merged.failed["b"])


def test_garbage_and_answers_that_nobody_waits_for() -> None:
    gathered = begun(quorum=1)
    arrived(gathered, Arrival("a", memoryview(b"garbage")), 1.0)
    arrived(gathered, arrival("a", 5.0), 1.0)
    arrived(gathered, arrival("b", 1.0), 1.0)
    arrived(gathered, arrival("b", 9.0), 1.0)
    arrived(gathered, arrival("stranger", 9.0), 1.0)
    merged, _ = gathered.end()
    assert (merged.update.values["x"].tolist(), merged.arrived, list(merged.failed)) == ([1.0], ("b",), ["a"])

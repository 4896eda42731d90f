"""What both ends agree on first."""

from __future__ import annotations

import random
from itertools import islice, pairwise

import pytest

from talkoot.engines.federation.link.greeting import DELAYS, delays, greet, software
from talkoot.engines.federation.link.messages import Hello, Refusal, Welcome


def hello(versions: tuple[int, int] = (1, 1), clock: float = 0.0, **packages: str) -> Hello:
    return Hello(versions, b"", clock, packages)


def test_who_speaks_the_same_is_welcome() -> None:
    assert greet(hello((1, 7)), 100.0, software()) == Welcome(1, [], b"")


@pytest.mark.parametrize("versions", [(2, 3), (0, 0), (3, 1)])
def test_other_versions_of_the_protocol_are_refused(versions: tuple[int, int]) -> None:
    answer = greet(hello(versions), 0.0, {})
    assert isinstance(answer, Refusal)
    assert "versions" in answer.cause


@pytest.mark.parametrize("clock", [181.0, -181.0, float("nan"), float("inf")])
def test_clocks_that_differ_are_refused(clock: float) -> None:
    answer = greet(hello(clock=clock), 0.0, {})
    assert isinstance(answer, Refusal)
    assert "the clocks differ by" in answer.cause


def test_other_packages_are_noted_or_refused_by_name() -> None:
    theirs, ours = hello(numpy="2.0", torch="2.13"), {"numpy": "2.1"}
    noted = greet(theirs, 0.0, ours)
    assert isinstance(noted, Welcome)
    assert noted.notes == ["numpy is 2.0 there and 2.1 here"]
    assert isinstance(greet(theirs, 0.0, ours, differences="refuse"), Refusal)


def test_tries_to_connect_become_rare_and_are_not_at_the_same_time() -> None:
    one, other = (list(islice(delays(random.Random(seed)), 20)) for seed in (1, 2))
    assert one != other
    assert all(0 < delay <= DELAYS[1] for delay in one)
    assert all(after > before / 2 for before, after in pairwise(one))

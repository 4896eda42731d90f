"""The process's random generators: seeded, used in turn, put back."""

from __future__ import annotations

import random
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from patience import patient
from talkoot.data.loading.generators import exclusive_generators, generators, restore_generators, sample_seeds
from talkoot.data.samples.samples import samples

DRAWS: dict[str, Callable[[], Any]] = {
    "python": random.random,
    "numpy": np.random.rand,
    "numpy normal": np.random.normal,  # draws two, and keeps one for the next time
    "torch": lambda: torch.rand(1).item(),
    "torch normal": lambda: torch.randn(3).tolist(),
}


def drawn() -> list[Any]:
    return [draw() for draw in DRAWS.values()]


@pytest.mark.parametrize("name", DRAWS)
def test_a_draw_is_seen(name: str) -> None:
    each = generators()[name.split()[0]]
    each.mark()
    assert each.is_fresh()
    each.mark()
    DRAWS[name]()
    assert not each.is_fresh()


def test_a_turn_starts_where_its_seed_says_and_each_generator_elsewhere() -> None:
    with exclusive_generators(seed=5):
        first = drawn()
    with exclusive_generators(seed=5):
        assert drawn() == first
    with exclusive_generators(seed=6):
        assert all(a != b for a, b in zip(drawn(), first, strict=True))
    with exclusive_generators(seed=5):
        assert abs(np.random.rand() - torch.rand(1, dtype=torch.float64).item()) > 1e-3


@pytest.mark.parametrize("raises", [False, True])
def test_generators_are_put_back_also_after_an_error(raises: bool) -> None:
    drawn()  # half of a pair of normal numbers is left
    states = {name: each.state() for name, each in generators().items()}
    want = drawn()
    for name, each in generators().items():
        each.restore(states[name])
    try:
        with restore_generators(), restore_generators(), exclusive_generators(seed=1):
            drawn()
            if raises:
                raise KeyError
    except KeyError:
        pass
    assert drawn() == want


def test_turns_are_one_at_a_time_and_in_order() -> None:
    order, found = [], {}
    started = threading.Event()

    def work(name: str) -> None:
        for step in range(20):
            with exclusive_generators(seed=step), exclusive_generators():
                order.append(name)
                started.set()
                found[name, step] = drawn() + drawn()

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    with exclusive_generators():
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join(patient())
    assert all(found["a", step] == found["b", step] for step in range(20))
    assert len(order) == 40


def test_who_waits_too_long_for_a_turn_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkoot.data.loading.generators.WAIT", 0.05)
    errors: list[Exception] = []

    def wait() -> None:
        try:
            with exclusive_generators():
                pass
        except ValueError as error:
            errors.append(error)

    with exclusive_generators():
        waiting = threading.Thread(target=wait)
        waiting.start()
        waiting.join(patient())
    assert "another fit in this process" in str(errors[0])
    with exclusive_generators():
        pass


def test_seeds_of_samples_differ_and_are_functions_of_key_epoch_and_row() -> None:
    rows = np.tile(np.arange(1000), 3)
    epochs = np.repeat(np.arange(3), 1000)
    seeds = np.concatenate([sample_seeds(key, epochs, rows) for key in (0, 1, 2**63 - 1)])
    assert seeds.min() >= 0
    for part in (seeds, seeds % 2**32, seeds // 2**32):
        assert len(np.unique(part)) > 0.99999 * len(part) - 1
    assert np.array_equal(sample_seeds(1, epochs[5:9], rows[5:9]), seeds[3005:3009])


class Items:
    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> Any:
        return self.make(index)


def test_taking_samples_leaves_the_callers_generators_alone() -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    want = drawn()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        samples(Items(lambda index: torch.rand(2) + np.random.rand() + random.random()))
    assert drawn() == want


def test_items_that_draw_from_a_generator_of_their_own_are_warned_of() -> None:
    own = np.random.default_rng(0)
    with pytest.warns(UserWarning, match=r"item 0 of Items changed.*draw from torch\.rand"):
        samples(Items(lambda index: own.normal(size=2)))

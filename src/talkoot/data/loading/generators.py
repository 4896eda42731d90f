"""The process's random generators, torch's, numpy's and Python's: seeded, used in turn, and put back."""

from __future__ import annotations

import os
import random
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import numpy as np

from talkoot.core.context import stream_rng
from talkoot.core.errors import NodeSilent

WAIT = 3600.0  # seconds that a thread waits for its turn; one step of another fit takes less
_WORD = 2**32
_MARK = 0x5DEECE66D1234567  # a seed that nobody's own code takes


class Generator(ABC):
    """A random generator that belongs to the whole process."""

    @abstractmethod
    def seed(self, number: int) -> None:
        """Start it anew.

        Args:
            number: from 0 to 2**63 - 1. Generators take different parts of it, so that their numbers differ.
        """

    def mark(self) -> None:
        """Start it where `is_fresh` knows it."""
        self.seed(_MARK)

    @abstractmethod
    def is_fresh(self) -> bool:
        """Whether nothing was drawn since `mark`. It may draw to find out."""

    @abstractmethod
    def state(self) -> Any:
        """What it goes on from."""

    @abstractmethod
    def restore(self, state: Any) -> None:
        """Go on from a state."""


@final
class Python(Generator):
    """The one of the module `random`."""

    def __init__(self) -> None:
        self._first = random.Random(_MARK).random()

    def seed(self, number: int) -> None:
        """All bits of it."""
        random.seed(number)

    def is_fresh(self) -> bool:
        """Whether its next number is the first one."""
        return random.random() == self._first

    def state(self) -> Any:
        """What it goes on from."""
        return random.getstate()

    def restore(self, state: Any) -> None:
        """Go on from a state."""
        random.setstate(state)


@final
class Numpy(Generator):
    """The one behind functions such as `numpy.random.rand`."""

    def __init__(self) -> None:
        self._first = float(np.random.RandomState(_bits(_MARK)).random_sample())

    def seed(self, number: int) -> None:
        """Bits that depend on all of it, and differ from those that torch takes."""
        np.random.seed(_bits(number))

    def is_fresh(self) -> bool:
        """Whether its next number is the first one."""
        return float(np.random.random_sample()) == self._first

    def state(self) -> Any:
        """What it goes on from."""
        return np.random.get_state(legacy=False)

    def restore(self, state: Any) -> None:
        """Go on from a state."""
        np.random.set_state(state)


def _bits(number: int) -> int:
    """32 bits of a number, mixed. Source: multiplicative hashing, Knuth, TAOCP 3, 6.4."""
    return number * 0x9E3779B97F4A7C15 % _WORD**2 // _WORD


@final
class Torch(Generator):
    """Those of torch: the processor's, and of each GPU where GPUs are in use.

    `torch.manual_seed` would do, and takes a hundred times as long.
    """

    def __init__(self) -> None:
        self._torch: Any = sys.modules["torch"]
        self._here = self._torch.default_generator
        self._first = self._torch.Generator().manual_seed(_MARK % _WORD).get_state()
        self._more = self._torch.backends.mps.is_available() or self._torch.xpu.is_available()

    def seed(self, number: int) -> None:
        """The lower bits of it, which is what torch takes."""
        number %= _WORD
        if self._more:
            self._torch.manual_seed(number)
        self._here.manual_seed(number)
        for gpu in self._gpus():
            gpu.manual_seed(number)

    def is_fresh(self) -> bool:
        """Whether no state has changed."""
        used = any(gpu.get_offset() or gpu.initial_seed() != _MARK % _WORD for gpu in self._gpus())
        return not used and bool(self._torch.equal(self._here.get_state(), self._first))

    def state(self) -> Any:
        """What they go on from, and the seed for GPUs that are not in use yet."""
        return self._here.get_state(), self._here.initial_seed(), [gpu.get_state() for gpu in self._gpus()]

    def restore(self, state: Any) -> None:
        """Go on from a state."""
        here, seed, gpus = state
        self._here.set_state(here)
        for index, gpu in enumerate(self._gpus()):
            if index < len(gpus):
                gpu.set_state(gpus[index])
            else:
                gpu.manual_seed(seed)

    def _gpus(self) -> tuple[Any, ...]:
        cuda = self._torch.cuda
        return cuda.default_generators if cuda.is_initialized() else ()


_KNOWN: dict[str, Generator] = {}


def generators() -> dict[str, Generator]:
    """The generators of this process by name; torch's where torch is loaded, as nobody draws from it else."""
    if not _KNOWN:
        _KNOWN.update(python=Python(), numpy=Numpy())
    if "torch" not in _KNOWN and "torch" in sys.modules:
        _KNOWN["torch"] = Torch()
    return _KNOWN


@final
class _Turns:
    """One thread at a time; one that waits comes before one that has just had its turn."""

    def __init__(self) -> None:
        self.mine = threading.local()
        self._next, self._now = threading.Lock(), threading.Lock()

    def take(self) -> None:
        ends = self._next.acquire(timeout=WAIT)
        try:
            if not (ends and self._now.acquire(timeout=WAIT)):
                raise NodeSilent(
                    f"another fit in this process has been at one step for {WAIT:g} s, and fits on threads "
                    "take turns, as they share the process's random generators",
                    cure="See what it waits for, or run the fits in processes of their own.",
                )
        finally:
            if ends:
                self._next.release()

    def end(self) -> None:
        self._now.release()


@final
class _Users:
    """How many fits use the generators, and where these were before the first of them."""

    def __init__(self) -> None:
        self.lock, self.count = threading.Lock(), 0
        self.states: dict[str, Any] = {}


_TURNS, _USERS = _Turns(), _Users()


def _forget() -> None:
    """In a fork: threads that had a turn are not here."""
    global _TURNS, _USERS
    _TURNS, _USERS = _Turns(), _Users()


os.register_at_fork(after_in_child=_forget)


@contextmanager
def exclusive_generators(seed: int | None = None) -> Iterator[None]:
    """The generators for this thread alone. A turn inside a turn is part of it.

    Args:
        seed: where they start, from 0 to 2**63 - 1; None to leave them as they are.

    Raises:
        NodeSilent: another thread does not end its turn.

    >>> with exclusive_generators(seed=5):
    ...     first = random.random()
    >>> with exclusive_generators(seed=5):
    ...     first == random.random()
    True
    """
    turns = _TURNS
    outermost = not getattr(turns.mine, "has", False)
    if outermost:
        turns.take()
        turns.mine.has = True
    try:
        if seed is not None:
            for generator in generators().values():
                generator.seed(seed)
        yield
    finally:
        if outermost:
            turns.mine.has = False
            turns.end()


@contextmanager
def restore_generators() -> Iterator[None]:
    """When this ends the generators go on from where they were, also after an error.

    Of several on threads at the same time the first one notes where they were, and the last one puts them
    back.

    >>> random.seed(1)
    >>> with restore_generators():
    ...     random.seed(2)
    >>> random.random() == random.Random(1).random()
    True
    """
    users = _USERS
    with users.lock:
        if not users.count:
            users.states = {name: each.state() for name, each in generators().items()}
        users.count += 1
    try:
        yield
    finally:
        with users.lock:
            users.count -= 1
            if not users.count:
                for name, state in users.states.items():
                    _KNOWN[name].restore(state)


def start_seed(seed: int) -> int:
    """Where the generators start when a module is built of which all nodes start, for a run's seed."""
    return int(stream_rng(seed, "init").integers(2**31))


def sample_seeds(key: int, epochs: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A seed for every sample: a function of (key, epoch, row), (b,) int64 of 0 or more.

    Source of the mixing: SplitMix64, Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", OOPSLA 2014.

    Args:
        key: of the run and the source, from 0 to 2**63 - 1.
        epochs: of each sample, (b,) int64.
        rows: its index, (b,) int64.
    """
    mixed = np.full(rows.shape, key, np.uint64)
    for part in (epochs, rows):
        mixed = _mixed(mixed + (part.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))
    return (mixed >> np.uint64(1)).astype(np.int64)


def _mixed(value: np.ndarray) -> np.ndarray:
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(value ^ (value >> np.uint64(31)))

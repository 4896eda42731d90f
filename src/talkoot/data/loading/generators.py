"""The random generators of the process (torch, numpy, Python): seeded, locked to one thread, restored."""

from __future__ import annotations

import os
import random
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np

from talkoot.core.context import mixed, stream_rng
from talkoot.core.errors import NodeSilent

WAIT = 3600.0  # seconds that a thread waits; one step of another fit takes less
_WORD = 2**32
_MARK = 0x5DEECE66D1234567  # a seed that user code will not use


class Generator(ABC):
    """A random generator that belongs to the whole process."""

    @abstractmethod
    def seed(self, number: int) -> None:
        """Seed by a number below 2**63; generators use different bits of it, so that their numbers differ."""

    def mark(self) -> None:
        """Seed it with the value that `is_fresh` checks."""
        self.seed(_MARK)

    @abstractmethod
    def is_fresh(self) -> bool:
        """Whether nothing was drawn since `mark`. The check itself may draw."""

    @abstractmethod
    def state(self) -> Any:
        """The generator's state."""

    @abstractmethod
    def restore(self, state: Any) -> None:
        """Set the generator's state."""


@final
@dataclass(frozen=True, slots=True)
class Numbers(Generator):
    """A generator of single numbers by its functions: that of the module `random`, or numpy's global one."""

    draw: Callable[[], float]
    seed_bits: Callable[[int], Any]  # seeds it by a number from 0 to 2**63 - 1
    get: Callable[[], Any]
    set: Callable[[Any], None]
    first: float  # the first number after `mark`

    def seed(self, number: int) -> None:
        """Seed with the bits that `seed_bits` takes."""
        self.seed_bits(number)

    def is_fresh(self) -> bool:
        """Whether the next number is the first one after `mark`."""
        return self.draw() == self.first

    def state(self) -> Any:
        """The generator's state."""
        return self.get()

    def restore(self, state: Any) -> None:
        """Set the generator's state."""
        self.set(state)


def _bits(number: int) -> int:
    """A 32-bit hash of a number. Source: multiplicative hashing, Knuth, TAOCP 3, 6.4."""
    return number * 0x9E3779B97F4A7C15 % _WORD**2 // _WORD


@final
class Torch(Generator):
    """The generators of torch: of the CPU, and of each GPU once CUDA is in use.

    `torch.manual_seed` does the same, a hundred times slower.
    """

    def __init__(self) -> None:
        self._torch: Any = sys.modules["torch"]
        self._here = self._torch.default_generator
        self._first = self._torch.Generator().manual_seed(_MARK % _WORD).get_state()
        self._more = self._torch.backends.mps.is_available() or self._torch.xpu.is_available()

    def seed(self, number: int) -> None:
        """Seed with the lower 32 bits."""
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
        """The states, and the seed for GPUs that are not in use yet."""
        return self._here.get_state(), self._here.initial_seed(), [gpu.get_state() for gpu in self._gpus()]

    def restore(self, state: Any) -> None:
        """Set the generator's state."""
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
    """The generators of this process by name; torch's only once torch is imported."""
    if not _KNOWN:
        first = random.Random(_MARK).random(), np.random.RandomState(_bits(_MARK)).random_sample()
        _KNOWN["python"] = Numbers(random.random, random.seed, random.getstate, random.setstate, first[0])
        _KNOWN["numpy"] = Numbers(
            np.random.random_sample,
            lambda number: np.random.seed(_bits(number)),
            partial(np.random.get_state, legacy=False),
            np.random.set_state,
            float(first[1]),
        )
    if "torch" not in _KNOWN and "torch" in sys.modules:
        _KNOWN["torch"] = Torch()
    return _KNOWN


@final
class _FairLock:
    """A fair lock: a waiting thread gets it before the thread that has just released it."""

    def __init__(self) -> None:
        self.local = threading.local()
        self._next, self._now = threading.Lock(), threading.Lock()

    def acquire(self) -> None:
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

    def release(self) -> None:
        self._now.release()


@final
class _Users:
    """The number of fits that use the generators, and the states before the first of them."""

    def __init__(self) -> None:
        self.lock, self.count = threading.Lock(), 0
        self.states: dict[str, Any] = {}


_LOCK, _USERS = _FairLock(), _Users()


def _reset_locks() -> None:
    """Reset the locks in a forked child: the threads that hold them do not exist there."""
    global _LOCK, _USERS
    _LOCK, _USERS = _FairLock(), _Users()


os.register_at_fork(after_in_child=_reset_locks)


@contextmanager
def exclusive_generators(seed: int | None = None) -> Iterator[None]:
    """A context in which only this thread uses the generators; it may be nested.

    Args:
        seed: seeds them, from 0 to 2**63 - 1; None leaves them as they are.

    Raises:
        NodeSilent: another thread does not release them in time.

    >>> with exclusive_generators(seed=5):
    ...     first = random.random()
    >>> with exclusive_generators(seed=5):
    ...     first == random.random()
    True
    """
    lock = _LOCK
    outermost = not getattr(lock.local, "held", False)
    if outermost:
        lock.acquire()
        lock.local.held = True
    try:
        if seed is not None:
            for generator in generators().values():
                generator.seed(seed)
        yield
    finally:
        if outermost:
            lock.local.held = False
            lock.release()


@contextmanager
def restore_generators() -> Iterator[None]:
    """A context after which the generators have the states from before it, also after an error.

    Of several on threads at the same time, the first stores the states and the last restores them.

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
    """The seed for building the module that all nodes start from."""
    return int(stream_rng(seed, "init").integers(2**31))


def sample_seeds(key: int, epochs: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A seed for each sample, (b,) int64 of 0 or more: a function of key, epoch and row.

    Source of the mixing: SplitMix64, Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", OOPSLA 2014.

    Args:
        key: of the run and the source, from 0 to 2**63 - 1.
        epochs: of each sample, (b,) int64.
        rows: its index, (b,) int64.
    """
    seeds = np.full(rows.shape, key, np.uint64)
    for part in (epochs, rows):
        seeds = mixed(seeds + (part.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))
    return (seeds >> np.uint64(1)).astype(np.int64)

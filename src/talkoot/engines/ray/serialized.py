"""Objects as Ray carries them: a pickle and, beside it, the buffers of its arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import ray

from talkoot.engines.processes import wire
from talkoot.engines.processes.memory import LARGE, Place

Parcel = tuple[Any, ...]  # a pickle as bytes, and arrays of bytes


def pack(thing: Any) -> Parcel:
    """A parcel of `thing`; its arrays are not copied."""
    pickled = wire.dump(thing)
    return pickled.stream, *map(_array, pickled.buffers)


def unpack(parcel: Parcel) -> Any:
    """The object again; its arrays lie in memory of their own and may be written to.

    >>> unpack(pack({"x": np.arange(3)}))
    {'x': array([0, 1, 2])}
    """
    stream, *buffers = parcel
    return wire.load(stream, [bytearray(buffer) for buffer in buffers])


def post(thing: Any) -> Any:
    """A parcel for several readers: in the object store if it is large, so that it is written once."""
    parcel = pack(thing)
    return ray.put(parcel) if sum(map(len, parcel)) > LARGE else parcel


def place(buffers: Sequence[memoryview]) -> list[Place]:
    """Put large buffers into the object store, where all actors of a machine read the same memory."""
    return [Place(ray.put(_array(buffer)), 0, buffer.nbytes) for buffer in buffers]


def _array(buffer: memoryview) -> np.ndarray:
    return np.frombuffer(buffer, dtype=np.uint8)

"""Objects as Ray transfers them: a pickle and the buffers of its arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import ray

from talkoot.engines.processes import wire
from talkoot.engines.processes.memory import LARGE, Place

Serialized = tuple[Any, ...]  # a pickle as bytes, and arrays of bytes


def pack(value: Any) -> Serialized:
    """Serialize without a copy of arrays."""
    pickled = wire.dump(value)
    return pickled.stream, *map(_array, pickled.buffers)


def unpack(serialized: Serialized) -> Any:
    """The object; its arrays are copies that may be written to.

    >>> unpack(pack({"x": np.arange(3)}))
    {'x': array([0, 1, 2])}
    """
    stream, *buffers = serialized
    return wire.load(stream, [bytearray(buffer) for buffer in buffers])


def pack_shared(value: Any) -> Any:
    """Serialize for several readers: a large object goes to the object store, so that it is written once."""
    serialized = pack(value)
    return ray.put(serialized) if sum(map(len, serialized)) > LARGE else serialized


def put_buffers(buffers: Sequence[memoryview]) -> list[Place]:
    """Put large buffers into the object store, where all actors of a machine read the same memory."""
    return [Place(ray.put(_array(buffer)), 0, buffer.nbytes) for buffer in buffers]


def _array(buffer: memoryview) -> np.ndarray:
    return np.frombuffer(buffer, dtype=np.uint8)

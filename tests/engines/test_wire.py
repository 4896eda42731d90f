"""Messages: what goes in comes out, whatever its size, and a partner that is gone is noticed."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from patience import patient
from talkoot.engines.processes import wire
from talkoot.engines.processes.memory import Segment


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    a, b = socket.socketpair()
    with a, b:
        a.settimeout(patient())
        b.settimeout(patient())
        yield a, b


def through(thing: Any) -> Any:
    a, b = socket.socketpair()
    with a, b:
        wire.send(a, thing)
        return wire.receive(b)


@given(arrays(np.float64, array_shapes(max_dims=3), elements=st.floats(allow_nan=False)))
def test_arrays_come_out_as_they_went_in(array: np.ndarray) -> None:
    got = through({"a": array, "t": array.T, "every other": array[::2]})
    np.testing.assert_array_equal(got["a"], array)
    np.testing.assert_array_equal(got["t"], array.T)
    np.testing.assert_array_equal(got["every other"], array[::2])


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 65_000, 65_536, 66_000, 3_000_001])
def test_messages_of_any_size_neither_block_nor_leak(size: int) -> None:
    gc.collect()  # what other tests have left open closes before, not meanwhile
    before = len(os.listdir("/proc/self/fd"))
    for thing in (np.arange(size, dtype=np.uint8), os.urandom(size)):
        got = through([thing, thing])
        assert bytes(got[0]) == bytes(thing)
        if isinstance(got[0], np.ndarray):
            got[0][:] = 0  # memory of its own, to be written to
            assert got[0] is got[1]
    assert len(os.listdir("/proc/self/fd")) == before


def test_one_message_can_be_sent_to_many(pair: tuple[socket.socket, socket.socket]) -> None:
    a, b = pair
    message = wire.frame(np.ones(100_000))
    for _ in range(3):
        wire.send(a, message)
        assert wire.receive(b).sum() == 100_000


def test_functions_of_no_module_are_sent_by_value() -> None:
    offset = 3
    assert through(lambda x: x + offset)(4) == 7


def test_a_partner_that_is_gone_is_noticed(pair: tuple[socket.socket, socket.socket]) -> None:
    a, b = pair
    a.sendall(wire.frame("hello").head[:7])
    a.close()
    with pytest.raises(EOFError, match="gone"):
        wire.receive(b)
    with pytest.raises(OSError, match="Broken pipe"):
        wire.send(b, "hello")


def test_half_a_message_is_not_waited_for_forever(pair: tuple[socket.socket, socket.socket]) -> None:
    a, b = pair
    b.settimeout(0.05)
    a.sendall(wire.frame("hello").head[:20])
    with pytest.raises(TimeoutError):
        wire.receive(b)


def test_a_segment_that_is_lent_can_be_read_but_not_written(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    a, b = pair
    wire.lend(a, Segment([np.arange(5.0)]))
    seen = np.frombuffer(wire.borrow(b), count=5)
    assert seen.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert not seen.flags.writeable

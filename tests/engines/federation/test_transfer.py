"""Frames on their way, by script: cuts, damage, sizes, and frames that two runs share."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkoot.core.errors import DataError
from talkoot.engines.federation.link.messages import Chunk, Frame, Missing
from talkoot.engines.federation.link.spool import SMALL, InFile, InMemory, Spool
from talkoot.engines.federation.link.transfer import Incoming, Transfers

PIECE = 10


def chunks(sender: Transfers, incoming: Incoming, most: int = 1 << 20) -> Iterator[Chunk]:
    """The pieces of the rest of a frame; each is requested before it is sent."""
    while incoming.left:
        fetch = incoming.request(most)
        piece = sender.piece(fetch.digest, fetch.offset, fetch.size)
        assert isinstance(piece, Chunk)
        yield piece


@given(data=st.binary(min_size=1, max_size=100), cuts=st.lists(st.integers(0, 5), max_size=5))
def test_a_frame_arrives_once_whatever_is_cut(data: bytes, cuts: list[int]) -> None:
    sender, receiver = Transfers(), Transfers()
    incoming, moved, found = receiver.want(sender.offer(data)), 0, None
    for cut in [*cuts, 1000]:
        lost = incoming.request(PIECE)  # it was on its way when the link was cut
        assert incoming.restart() == lost.size
        for chunk in itertools.islice(chunks(sender, incoming, PIECE), cut):
            moved += chunk.data.nbytes
            found = receiver.take(chunk)
        incoming.restart()
        if found is not None:
            break
    assert isinstance(found, Incoming)
    assert (bytes(found.data.view()), moved, receiver.incoming) == (data, len(data), {})


def test_a_frame_that_is_too_large_is_refused_before_memory_is_taken() -> None:
    taken: list[int] = []

    def allocate(size: int) -> InMemory:
        taken.append(size)
        return InMemory(size)

    receiver = Transfers(limit=1 << 20, allocate=allocate)
    with pytest.raises(DataError, match="10,000,000,000 bytes was announced, and at most 1,048,576"):
        receiver.want(Frame(bytes(32), 10_000_000_000))
    for size in (0, -1):
        with pytest.raises(DataError, match="bytes was announced"):
            receiver.want(Frame(bytes(32), size))
    with pytest.raises(DataError):
        receiver.want(Frame(b"short", 8))
    assert taken == []


@pytest.mark.parametrize(
    "chunk",
    [
        Chunk(b"", 1, memoryview(b"b" * 9)),  # a gap
        Chunk(b"", 0, memoryview(b"c" * 21)),  # more than was requested
        Chunk(b"", 0, memoryview(b"")),  # nothing
        Chunk(b"", 0, memoryview(b"d" * 20)),  # other bytes
    ],
)
def test_damage_is_refused_and_the_frame_can_be_fetched_again(chunk: Chunk) -> None:
    sender, receiver = Transfers(), Transfers()
    frame = sender.offer(b"a" * 20)
    receiver.want(frame).request(20)
    with pytest.raises(DataError):
        receiver.take(Chunk(frame.digest, chunk.offset, chunk.data))
    found = None
    for piece in chunks(sender, receiver.want(frame)):
        found = receiver.take(piece)
    assert found is not None
    assert bytes(found.data.view()) == b"a" * 20


def test_what_nobody_waits_for_is_dropped() -> None:
    assert Transfers().take(Chunk(bytes(32), 0, memoryview(b"late"))) is None


def test_what_is_not_offered_is_missing_and_equal_frames_are_offered_until_both_are_done() -> None:
    sender = Transfers()
    frame = sender.offer(b"the same")
    assert sender.offer(b"the same") == frame
    sender.withdraw(frame.digest)
    assert sender.piece(frame.digest, 4, 100) == Chunk(frame.digest, 4, memoryview(b"same"))
    assert sender.piece(frame.digest, 8, 1) == Missing(frame.digest)
    sender.withdraw(frame.digest)
    assert sender.piece(frame.digest, 0, 1) == Missing(frame.digest)
    assert not sender.offers


@given(data=st.binary(min_size=1, max_size=100))
def test_a_frame_in_a_file_is_the_same(data: bytes) -> None:
    sender, receiver = Transfers(), Transfers(allocate=lambda size: InFile())
    found = None
    for chunk in chunks(sender, receiver.want(sender.offer(data)), PIECE):
        found = receiver.take(chunk)
    assert found is not None
    assert bytes(found.data.view()) == data


def test_beyond_the_budget_frames_are_in_files_until_there_is_room_again() -> None:
    spool, size = Spool(3 * SMALL), 2 * SMALL
    first = spool.allocate(size)
    view = first.view()
    assert isinstance(first, InMemory)
    assert isinstance(spool.allocate(size), InFile)
    assert isinstance(spool.allocate(SMALL), InMemory)
    del first  # its bytes are still in use
    assert isinstance(spool.allocate(size), InFile)
    del view
    assert isinstance(spool.allocate(size), InMemory)


def test_a_file_that_finds_no_room_is_named_and_the_frame_can_be_fetched_again() -> None:
    full = InFile()
    with open("/dev/full", "wb") as device:
        os.dup2(device.fileno(), full._file)
    places = iter([full, InFile()])
    sender, receiver = Transfers(), Transfers(allocate=lambda size: next(places))
    frame = sender.offer(b"a" * 20)
    (chunk,) = chunks(sender, receiver.want(frame))
    with pytest.raises(DataError, match="of the receiver: No space left"):
        receiver.take(chunk)
    (chunk,) = chunks(sender, receiver.want(frame))
    assert receiver.take(chunk) is not None

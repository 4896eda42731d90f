"""Messages as bytes, and bytes that are none."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from talkoot.core.errors import DataError
from talkoot.core.round import Meeting, Round
from talkoot.engines.federation.link.messages import (
    LIMIT,
    Ask,
    Chunk,
    Frame,
    Head,
    Message,
    Task,
    decode,
    encode,
)

FRAME = Frame.of(b"abc")


def test_a_message_comes_back() -> None:
    rnd = Round(index=3, cohort=("a", "b"), dropped=(1,), meeting=Meeting(quorum=2, deadline=1.5))
    ask = Ask("run", 1, FRAME, FRAME, Head.of(rnd), False)
    assert decode(encode(ask)) == ask
    assert ask.head.round() == rnd
    chunk = decode(encode(Chunk(b"d", 5, memoryview(b"data"))))
    assert isinstance(chunk, Chunk)
    assert bytes(chunk.data) == b"data"


def test_a_round_is_named_by_all_that_it_is() -> None:
    head = Head.of(Round(index=0, cohort=("a",)))
    one = Ask("run", 0, FRAME, FRAME, head, False)
    others = [
        Ask("other", 0, FRAME, FRAME, head, False),
        Ask("run", 1, FRAME, FRAME, head, False),
        Ask("run", 0, Frame.of(b"x"), FRAME, head, False),
        Ask("run", 0, FRAME, Frame.of(b"x"), head, False),
    ]
    assert len({ask.key for ask in [one, *others]}) == 1 + len(others)
    assert Task("run", 0, FRAME, FRAME).key == one.key


@given(st.binary(max_size=200))
@example(b"\x81\xa4type\xa4Task")
@example(encode(Task("r", 0, FRAME, FRAME))[:-1])
@example(encode(Task("r", 0, FRAME, FRAME)) + b"\x00")
@example(b"\x91" * 3000)
def test_garbage_is_refused(data: bytes) -> None:
    try:
        found = decode(data)
    except DataError:
        return
    assert isinstance(found, Message)


def test_a_message_that_is_too_long_is_refused() -> None:
    with pytest.raises(DataError, match="at most"):
        decode(bytes(LIMIT + 1))

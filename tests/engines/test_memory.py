"""Shared memory without names, and the shelf of buffers placed before."""

from __future__ import annotations

import gc
import os
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkoot.engines.processes import memory
from talkoot.engines.processes.memory import ALIGN, Segment, Shelf, copy, layout, view


def raw(array: Any) -> memoryview:
    return pickle.PickleBuffer(array).raw()


@given(st.lists(st.integers(0, 1000), max_size=8))
def test_pieces_are_aligned_and_do_not_overlap(sizes: list[int]) -> None:
    offsets, end = layout(sizes)
    assert all(offset % ALIGN == 0 for offset in offsets)
    ends = [offset + size for offset, size in zip(offsets, sizes, strict=True)]
    assert all(a <= b for a, b in zip(ends, offsets[1:], strict=False))
    assert end == (ends[-1] if ends else 0)


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_what_is_written_is_read(pieces: list[bytes]) -> None:
    segment = Segment(pieces)
    seen, own = view(segment.fd), copy(segment.fd, segment.size)
    for offset, piece in zip(segment.offsets, pieces, strict=True):
        assert seen[offset : offset + len(piece)] == piece
        assert own[offset : offset + len(piece)] == piece
    assert seen.readonly
    assert not own.readonly


def test_a_segment_goes_with_its_last_user() -> None:
    segment = Segment([b"abc"])
    fd = segment.fd
    seen = view(fd)
    del segment
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    assert bytes(seen[:3]) == b"abc"


def test_without_memfd_an_unlinked_file_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    segment = Segment([b"abc", b"d"])
    assert os.fstat(segment.fd).st_nlink == 0
    assert bytes(view(segment.fd)[:3]) == b"abc"


def test_a_buffer_that_comes_again_is_not_copied_again() -> None:
    shelf, X = Shelf(), np.arange(1003.0)
    (first,) = shelf.place([raw(X[3:])])
    (again, other) = shelf.place([raw(X[3:]), raw(X[:500])])
    assert again == first
    assert other.segment is not first.segment


def test_a_buffer_that_was_changed_is_copied_again() -> None:
    X = np.arange(200_001, dtype=np.uint8)
    for position in (0, 100_000, 200_000):
        shelf = Shelf()
        (first,) = shelf.place([raw(X)])
        X[position] += 1
        (again,) = shelf.place([raw(X)])
        assert again.segment is not first.segment
        assert bytes(view(again.segment.fd)[again.offset : again.offset + again.size]) == X.tobytes()


def test_an_entry_goes_with_its_array() -> None:
    shelf, X = Shelf(), np.arange(1000.0)
    (place,) = shelf.place([raw(X[10:])])
    fd = place.segment.fd
    del place
    assert shelf.size == 990 * 8
    os.fstat(fd)
    del X
    gc.collect()
    assert shelf.size == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_memory_that_is_reused_for_another_array_is_not_mistaken() -> None:
    shelf = Shelf()
    for value in range(20):
        X = np.full(50_000, value, dtype=float)  # often at the same address as the last
        (place,) = shelf.place([raw(X)])
        seen = np.frombuffer(view(place.segment.fd), offset=place.offset, count=50_000)
        np.testing.assert_array_equal(seen, X)


def test_the_shelf_keeps_what_was_used_last() -> None:
    a, b, c = (np.full(100, value, dtype=float) for value in (1, 2, 3))
    shelf = Shelf(limit=1600)
    places = shelf.place([raw(a), raw(b)])
    shelf.place([raw(a)])
    shelf.place([raw(c)])
    assert shelf.size == 1600
    assert shelf.place([raw(a)])[0] == places[0]
    assert shelf.place([raw(b)])[0] != places[1]


def test_the_size_of_a_comparison_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_COMPARED", 64)
    test_a_buffer_that_was_changed_is_copied_again()

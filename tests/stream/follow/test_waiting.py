"""What is learned does not depend on how fast a broker answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import Tiny, table

import talkoot as tk
from examples import examples
from talkoot.core.digest import digest
from talkoot.core.errors import DataError
from talkoot.stream.sources.memory import Memory
from talkoot.stream.sources.source import Chunk, Reader, Source

TABLES = {str(part): table(rows, part) for part, rows in enumerate((30, 45, 20))}


@final
@dataclass(frozen=True, eq=False)
class Halting(Source):
    """Tables of a broker that now and then does not answer.

    Args:
        pauses: how often it does not before each poll, in turn.
        told: whether it is known meanwhile that there are rows.
    """

    pauses: tuple[int, ...]
    told: bool

    def partitions(self) -> tuple[str, ...]:
        return tuple(TABLES)

    def open(self, partition: str) -> Reader:
        return HaltingReader(self, Memory(TABLES).open(partition))


@final
class HaltingReader(Reader):
    tells_lag = True

    def __init__(self, source: Halting, reader: Reader) -> None:
        self._source, self._reader = source, reader
        self._polls, self._left = 0, source.pauses[0]

    def seek(self, offset: str | None) -> None:
        self._reader.seek(offset)

    def poll(self, rows: int, seconds: float) -> Chunk | None:
        if self._left:
            self._left -= 1
            return None
        self._polls += 1
        self._left = self._source.pauses[self._polls % len(self._source.pauses)]
        return self._reader.poll(rows, seconds)

    def lag(self) -> int | None:
        return self._reader.lag() if self._source.told or not self._left else None


def learned(source: Source) -> str:
    found = tk.follow(Tiny(), source, "y", sync=tk.every(rows=14), progress=False)
    assert found.rows == 95
    states: Any = found.following.data()
    return digest(states)


def test_a_stream_that_never_comes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkoot.stream.follow.cursor.SILENT", 1.0)
    with pytest.raises(DataError, match=r"rows of partition '0' do not come.*call again"):
        learned(Halting((0, 10**9), told=True))


EXPECTED: list[str] = []


@examples(16)
@given(pauses=st.lists(st.integers(0, 3), min_size=1, max_size=7), told=st.booleans())
def test_pauses_of_a_broker_change_nothing(pauses: list[int], told: bool) -> None:
    if not EXPECTED:
        EXPECTED.append(learned(Memory(TABLES)))
    assert learned(Halting(tuple(pauses), told)) == EXPECTED[0]

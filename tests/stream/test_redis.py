"""Streams of Redis, on a real server that is killed and started again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pytest
from brokers import Broker

from laws import check_reading, chunks_of, rows_of, table
from patience import patient
from talkoot.core.errors import DataError
from talkoot.stream.sinks.redis import RedisSink
from talkoot.stream.sources.redis import Redis
from talkoot.stream.sources.source import OffsetGone

redis = pytest.importorskip("redis")
COLUMNS = {"n": "int64", "t": "string"}


def add(server: Broker, stream: str, values: Iterable[bytes]) -> list[Any]:
    with redis.Redis.from_url(url(server)) as client:
        return [client.xadd(stream, {"value": value}) for value in values]


def url(server: Broker) -> str:
    return f"redis://{server.address}/0"


def encoded(first: int, rows: int) -> list[bytes]:
    return [json.dumps(row).encode() for row in table(first, rows).to_pylist()]


def ipc(first: int, rows: int) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table(0, 1).schema) as stream:
        stream.write_table(table(first, rows))
    return bytes(sink.getvalue().to_pybytes())


STEPS = [(3, 0), (1, 0), (9, 1), (2, 2), (50, 0), (4, 3), (1, 1), (7, 0), (100, 0), (1, 0)]


def test_any_polls_and_seeks_read_the_same_rows(redis_server: Broker) -> None:
    add(redis_server, "law", encoded(0, 30))
    with Redis("law", url(redis_server), columns=COLUMNS).open("law") as reader:
        check_reading(reader, table(0, 30).to_pylist(), STEPS)
    add(redis_server, "law-arrow", [ipc(0, 4), ipc(4, 1), ipc(5, 20)])
    with Redis("law-arrow", url(redis_server), values="arrow").open("law-arrow") as reader:
        check_reading(reader, table(0, 25).to_pylist(), STEPS)


def test_what_cannot_be_decoded_is_named_with_its_place(redis_server: Broker) -> None:
    add(redis_server, "bad", [b'{"n": 1}', b"nonsense", b'{"n": 2}'])
    with Redis("bad", url(redis_server), columns=COLUMNS).open("bad") as reader:
        [chunk] = chunks_of(reader, 10)
        assert chunk.batch["n"].to_pylist() == [1, 2]
        assert [rejected.value for rejected in chunk.rejected] == [b"nonsense"]
        reader.seek(chunk.rejected[0].offset)
        assert rows_of(reader, 10) == [{"n": 2, "t": None}]


def test_a_killed_server_loses_nothing_and_gives_nothing_twice(redis_server: Broker) -> None:
    add(redis_server, "kill", encoded(0, 5))
    seen = []
    with Redis("kill", url(redis_server), columns=COLUMNS).open("kill") as reader:
        for first in (5, 12):
            seen += rows_of(reader, 3)
            redis_server.kill()
            assert reader.poll(3, 0) is None
            assert "does not answer" in str(reader.trouble)
            redis_server.start()
            add(redis_server, "kill", encoded(first, 7))
            chunk = reader.poll(3, patient())
            assert chunk is not None
            seen += chunk.batch.to_pylist()
            assert reader.trouble is None
        seen += rows_of(reader, 3)
    assert [row["n"] for row in seen] == [*range(19)]


def test_trimmed_entries_are_gone_by_name(redis_server: Broker) -> None:
    add(redis_server, "trim", encoded(0, 10))
    with (
        Redis("trim", url(redis_server), columns=COLUMNS).open("trim") as reader,
        redis.Redis.from_url(url(redis_server)) as client,
    ):
        first, second = reader.poll(4, 0), reader.poll(2, 0)
        assert first is not None
        assert second is not None
        client.xtrim("trim", maxlen=6, approximate=False)
        reader.seek(first.offset)  # all that was read, and no more, was trimmed
        client.xtrim("trim", maxlen=3, approximate=False)
        with pytest.raises(OffsetGone, match="'trim' begins at"):
            reader.seek(first.offset)
        with pytest.raises(OffsetGone, match="'trim' begins at") as gone:
            reader.poll(1, 0)
        reader.seek(gone.value.resume)
        assert [row["n"] for row in rows_of(reader, 9)] == [7, 8, 9]
        assert reader.lag() == 0


def test_the_group_shows_the_lag(redis_server: Broker) -> None:
    add(redis_server, "group", encoded(0, 10))
    with Redis("group", url(redis_server), columns=COLUMNS, group="fraud").open("group") as reader:
        for rows, lag in ((4, 6), (5, 1)):
            chunk = reader.poll(rows, 0)
            assert chunk is not None
            reader.commit(chunk.offset)
            with redis.Redis.from_url(url(redis_server)) as client:
                [group] = client.xinfo_groups("group")
            assert (group["name"], group["lag"], reader.lag()) == (b"fraud", lag, lag)


def test_types_are_found_and_latest_begins_behind(redis_server: Broker) -> None:
    add(redis_server, "typed", [b'{"n": 1, "t": "x"}'])
    source = Redis(("empty", "typed"), url(redis_server), start="latest")
    assert source.typed().columns == (("n", "float64"), ("t", "string"))
    with source.open("typed") as reader:
        assert reader.poll(1, 0) is None
        add(redis_server, "typed", [b'{"n": 2}'])
        assert rows_of(reader, 1) == [{"n": 2.0, "t": None}]


def test_a_server_that_is_not_there_is_named(redis_server: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkoot.stream.sources.redis.WAIT", 0.3)
    with pytest.raises(DataError, match=r"cannot be reached.*Check url="):
        Redis("x", "redis://127.0.0.1:1/0", columns=COLUMNS).open("x")
    with redis.Redis.from_url(url(redis_server)) as client:
        client.set("text", "x")
    with pytest.raises(DataError, match="Is it a stream"):
        Redis("text", url(redis_server), columns=COLUMNS).open("text")


def test_rows_that_are_written_again_appear_once(redis_server: Broker) -> None:
    batches = table(0, 10).to_batches()[0]
    sink = RedisSink("out", url(redis_server))
    with sink.open("run-0") as output, sink.open("run-0") as replaced:
        assert output.write(0, batches.slice(0, 4)) == 4
        redis_server.kill()
        with pytest.raises(DataError, match="row 4 and on"):
            output.write(4, batches.slice(4, 2))
        redis_server.start()
        assert output.write(2, batches.slice(2, 6)) == 4
        replaced.write(0, batches.slice(0, 3))  # one that was replaced and does not know it yet
        with pytest.raises(DataError, match="has 8 rows, and row 9 is to follow"):
            output.write(9, batches)
    with sink.open("run-0") as output:
        assert output.rows == 8
        output.write(0, batches)
    with Redis("out", url(redis_server), columns=COLUMNS).open("out") as reader:
        assert [row["n"] for row in rows_of(reader, 100)] == [*range(10)]

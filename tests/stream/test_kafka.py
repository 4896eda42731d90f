"""Topics of Kafka, on a real broker that is killed and started again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest
from brokers import Broker
from test_redis import COLUMNS, encoded, ipc

from laws import table
from patience import patient
from talkoot.core.errors import DataError, PlanError
from talkoot.stream.sinks.kafka import KafkaSink
from talkoot.stream.sources.kafka import Kafka
from talkoot.stream.sources.source import OffsetGone

kafka = pytest.importorskip("confluent_kafka")
Topics = Callable[[str, int], None]


def send(address: str, topic: str, values: Iterable[bytes], partition: int = 0) -> None:
    producer = kafka.Producer({"bootstrap.servers": address, "log_level": 0})
    for value in values:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(patient()) == 0


def source(address: str, topic: str, **settings: str) -> Kafka:
    return Kafka(topic, {"bootstrap.servers": address, **settings}, columns=COLUMNS)


def test_any_polls_and_seeks_read_the_same_rows(kafka_broker: Broker, new_topic: Topics) -> None:
    new_topic("law", 2)
    send(kafka_broker.address, "law", encoded(0, 30), 0)
    send(kafka_broker.address, "law", [ipc(0, 4), b"nonsense", ipc(4, 21)], 1)
    assert source(kafka_broker.address, "law").partitions() == ("0", "1")
    with source(kafka_broker.address, "law").open("0") as reader:
        seen: list[object] = []
        while len(seen) < 30:
            chunk = reader.poll(7, patient())
            assert chunk is not None
            seen += chunk.batch.to_pylist()
        assert seen == table(0, 30).to_pylist()
        assert reader.poll(1, 1.0) is None
        assert reader.lag() == 0
        for offset in ("12", "0", "29"):
            reader.seek(offset)
            chunk = reader.poll(5, patient())
            assert chunk is not None
            assert chunk.first == offset
            assert chunk.batch["n"].to_pylist()[0] == int(offset)
    with Kafka("law", {"bootstrap.servers": kafka_broker.address}, values="arrow").open("1") as reader:
        first, inside = reader.poll(3, patient()), reader.poll(3, patient())
        assert first is not None
        assert inside is not None
        assert (first.offset, inside.first, inside.offset) == ("0/3", "0/3", "1")
        reader.seek("0/3")
        again = reader.poll(3, patient())
        assert again is not None
        assert again.batch["n"].to_pylist() == [3]
        bad = reader.poll(3, patient())
        assert bad is not None
        assert [rejected.offset for rejected in bad.rejected] == ["1"]


def test_a_killed_broker_loses_nothing_and_gives_nothing_twice(
    kafka_broker: Broker, new_topic: Topics
) -> None:
    new_topic("kill", 1)
    seen: list[int] = []
    with source(kafka_broker.address, "kill").open("0") as reader:
        for first in (0, 7, 14):
            send(kafka_broker.address, "kill", encoded(first, 7))
            while len(seen) < first + 5:
                if (chunk := reader.poll(2, 1.0)) is not None:
                    seen += chunk.batch["n"].to_pylist()
            kafka_broker.kill()
            kafka_broker.start()
        while len(seen) < 21:
            if (chunk := reader.poll(2, 1.0)) is not None:
                seen += chunk.batch["n"].to_pylist()
        assert reader.poll(1, 1.0) is None
    assert seen == [*range(21)]


def test_rows_that_are_written_again_appear_once(kafka_broker: Broker, new_topic: Topics) -> None:
    new_topic("out", 1)
    batch = table(0, 10).to_batches()[0]
    sink = KafkaSink("out", {"bootstrap.servers": kafka_broker.address, "enable.idempotence": False})
    with sink.open("a") as a, sink.open("b") as b:
        a.write(0, batch.slice(0, 4))
        b.write(0, batch.slice(0, 2))
        a.write(2, batch.slice(2, 4))
    kafka_broker.kill()
    kafka_broker.start()
    with sink.open("a") as a, sink.open("b") as b:
        assert (a.rows, b.rows) == (6, 2)
        a.write(4, batch.slice(4))
    with source(kafka_broker.address, "out").open("0") as reader:
        seen: list[int] = []
        while len(seen) < 12:
            if (chunk := reader.poll(20, 1.0)) is not None:
                seen += chunk.batch["n"].to_pylist()
    assert seen == [0, 1, 2, 3, 0, 1, 4, 5, 6, 7, 8, 9]


@pytest.fixture
def mock() -> Iterator[str]:
    """The address of librdkafka's own cluster, in memory; it lives as long as its producer."""
    producer = kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "none", "log_level": 0})
    [broker] = producer.list_topics(timeout=patient()).brokers.values()
    yield f"{broker.host}:{broker.port}"
    producer.flush(0)


def test_an_offset_that_is_not_there_is_gone_by_name(mock: str) -> None:
    send(mock, "few", encoded(0, 5))
    with source(mock, "few").open("0") as reader:
        reader.seek("77")
        with pytest.raises(
            OffsetGone, match="partition 0 of topic 'few' has offsets 0 to 5, and not 77"
        ) as gone:
            reader.poll(1, patient())
        assert gone.value.resume == "5"
        reader.seek("earliest")
        assert reader.poll(9, patient()) is not None


def test_whoever_seeks_reads_from_there_whatever_was_requested_before(mock: str) -> None:
    send(mock, "sought", encoded(0, 50))
    for _ in range(20):  # the answer to a request for the earliest offset came behind a seek, now and then
        with source(mock, "sought").open("0") as reader:
            for place, first in (("30", "30"), ("earliest", "0"), ("40", "40"), ("7", "7")):
                reader.seek("latest")
                reader.seek(place)
                chunk = reader.poll(1, patient())
                assert chunk is not None
                assert chunk.first == first


def test_types_groups_and_resets_are_those_of_kafka(mock: str) -> None:
    send(mock, "typed", [b'{"n": 1, "t": "x"}'])
    typed = Kafka("typed", {"bootstrap.servers": mock}).typed()
    assert typed.columns == (("n", "float64"), ("t", "string"))
    latest = source(mock, "typed", **{"auto.offset.reset": "latest", "group.id": "fraud"})
    with latest.open("0") as reader:
        assert reader.poll(1, 1.0) is None
        send(mock, "typed", [b'{"n": 2}'])
        chunk = reader.poll(1, patient())
        assert chunk is not None
        assert (chunk.first, chunk.offset) == ("1", "2")
        reader.commit(chunk.offset)


def test_what_cannot_be_is_named(mock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlanError, match="has no 'bootstrap.servers'"):
        Kafka("x", {})
    with pytest.raises(PlanError, match="'enable.auto.commit', which is ours"):
        source(mock, "x", **{"enable.auto.commit": "true"})
    with pytest.raises(PlanError, match="librdkafka refuses the config"):
        source(mock, "x", nonsense="1").partitions()
    send(mock, "one", encoded(0, 1))
    with pytest.raises(DataError, match="has no partition 99"):
        source(mock, "one").open("99")
    monkeypatch.setattr("talkoot.stream.sources.kafka.WAIT", 0.3)
    with pytest.raises(DataError, match="no broker of Kafka answers"):
        source("127.0.0.1:1", "x").partitions()

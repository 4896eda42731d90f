"""Outputs as messages of a topic of Kafka."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

from talkoot.core.errors import DataError
from talkoot.stream.sinks.sink import Output, Sink, json_rows
from talkoot.stream.sources.kafka import SERVERS, WAIT, Kafka, consumer_of, library, partitions_of

HEADER = "talkoot.row"  # the number of a message's row in its output
TAIL = 1000  # messages at the end of a partition that are searched first


@final
@dataclass(frozen=True, slots=True)
class KafkaSink(Sink):
    """A topic of Kafka with a JSON message for each row: the output's name is its key, its number a header.

    All rows of an output go to one partition of the topic, at whose end the number of the last is found.

    Args:
        topic: its name.
        config: settings of librdkafka for the producer; its idempotence is on.
    """

    topic: str
    config: Mapping[str, Any] = field(repr=False)

    def open(self, name: str) -> Output:
        """The output as messages of one partition."""
        return _KafkaOutput(name, self.topic, self.config)


@final
class _KafkaOutput(Output):
    def __init__(self, name: str, topic: str, config: Mapping[str, Any]) -> None:
        kafka = library()
        self._kafka, self._topic, self._key = kafka, topic, name.encode()
        ours = {"enable.idempotence": True, "log_level": 0}
        self._producer = kafka.Producer({**ours, **config})
        numbers = sorted(partitions_of(self._producer, topic))
        self._partition = numbers[zlib.crc32(self._key) % len(numbers)]
        shared = ("bootstrap.", "security.", "sasl.", "ssl.", "client.")
        reading = {name: value for name, value in config.items() if name.startswith(shared)}
        super().__init__(name, self._last_row({SERVERS: config[SERVERS], **reading}))

    def _put(self, batch: Any) -> None:
        failed: list[Any] = []
        for at, value in enumerate(json_rows(batch)):
            headers = {HEADER: str(self.rows + at).encode()}
            self._produce(value, headers, failed)
        left = self._producer.flush(WAIT)
        if left or failed:
            what = failed[0].str() if failed else f"no broker answered for {WAIT:g} s"
            cure = "Open the output again: it finds which rows have arrived."
            raise DataError(f"output {self.name!r}: row {self.rows} and on: {what}", cure=cure)

    def _produce(self, value: bytes, headers: Any, failed: list[Any]) -> None:
        def delivered(error: Any, _: Any) -> None:
            if error is not None:
                failed.append(error)

        while True:
            try:
                self._producer.produce(
                    self._topic, value, self._key, self._partition, delivered, headers=headers
                )
                return
            except BufferError:  # the queue is full
                self._producer.poll(0.1)

    def _last_row(self, config: Mapping[str, Any]) -> int:
        """How many rows of this output the partition has, from a tail that is long enough."""
        consumer, tail = consumer_of(Kafka(self._topic, config)), TAIL
        place = self._kafka.TopicPartition(self._topic, self._partition)
        try:
            low, high = consumer.get_watermark_offsets(place, timeout=WAIT)
            while True:
                start = max(low, high - tail)
                if (rows := self._rows_from(consumer, start)) or start == low:
                    return rows
                tail *= 10
        finally:
            consumer.close()

    def _rows_from(self, consumer: Any, start: int) -> int:
        """How many rows this output has, by its messages from `start` to the end; 0 without one."""
        consumer.assign([self._kafka.TopicPartition(self._topic, self._partition, start)])
        rows = 0
        while True:
            if (first := consumer.poll(WAIT)) is None:
                raise DataError(f"topic {self._topic!r}: no broker answered for {WAIT:g} s", cure="Check it.")
            for message in (first, *consumer.consume(TAIL, 0)):
                error = message.error()
                if error is not None and error.code() == self._kafka.KafkaError._PARTITION_EOF:
                    return rows
                if error is None and message.key() == self._key:
                    rows = max(rows, int(dict(message.headers() or ())[HEADER]) + 1)

    def close(self) -> None:
        self._producer.flush(WAIT)

"""Topics of Kafka as a source: partitions are assigned, and offsets are our own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

from talkoot.core.errors import DataError, PlanError
from talkoot.stream.sources.messages import INSIDE, Message, MessageReader
from talkoot.stream.sources.source import (
    EARLIEST,
    LATEST,
    OffsetGone,
    Reader,
    Source,
    checked_start,
    whole_number,
)
from talkoot.stream.sources.values import Types, Values, pairs

SERVERS, RESET, GROUP = "bootstrap.servers", "auto.offset.reset", "group.id"
STARTS = {"earliest": EARLIEST, "beginning": EARLIEST, "smallest": EARLIEST}
STARTS |= {"latest": LATEST, "end": LATEST, "largest": LATEST}
OURS = ("enable.auto.commit", "enable.auto.offset.store", "enable.partition.eof")
FOUND = 5.0  # seconds to wait for a first message where types of columns are to be found
MOST = 100_000  # messages that are taken together; librdkafka takes no more than a million
WAIT = 30.0  # seconds until a broker that does not answer is an error, where one is needed at once


@final
@dataclass(frozen=True, slots=True)
class Kafka(Source):
    """A topic of Kafka, read with librdkafka.

    Partitions are assigned to nodes, never balanced by the broker, and the position is the node's own, stored
    with what was learned up to it; the group's is committed too, for tools that show the lag.
    Needs ``pip install 'talkoot[kafka]'``.

    Args:
        topic: its name.
        config: settings of librdkafka, such as ``{"bootstrap.servers": "host:9092", "group.id": "fraud",
            "auto.offset.reset": "latest"}``. Without a reset, reading begins at the earliest.
        values: how values are decoded: ``"json"`` (default), ``"arrow"`` or ``"module:function"``.
        columns: names and types of the columns; None (default) finds them from the first messages.

    >>> Kafka("clicks", {"bootstrap.servers": "127.0.0.1:9092", "auto.offset.reset": "latest"}).start
    'latest'
    """

    topic: str
    config: Mapping[str, Any] = field(repr=False)
    values: str = "json"
    columns: Mapping[str, str] | Types | None = None

    def __post_init__(self) -> None:
        if SERVERS not in self.config:
            raise PlanError(f"config has no {SERVERS!r}", cure=f'Give config={{"{SERVERS}": "host:9092"}}.')
        taken = [name for name in OURS if name in self.config]
        if taken:
            raise PlanError(f"config sets {taken[0]!r}, which is ours to set", cure="Leave it out.")
        checked_start(self.start)
        object.__setattr__(self, "columns", pairs(self.columns))
        self.decoding()

    @property
    def start(self) -> str:
        """Where reading begins without an offset: `auto.offset.reset`, else the earliest."""
        reset = str(self.config.get(RESET, EARLIEST))
        return STARTS.get(reset, reset)

    def decoding(self) -> Values:
        """How values are decoded."""
        return Values(self.values, self.columns)  # type: ignore[arg-type]

    def partitions(self) -> tuple[str, ...]:
        """The numbers of the topic's partitions."""
        consumer = consumer_of(self)
        try:
            return tuple(str(number) for number in sorted(partitions_of(consumer, self.topic)))
        finally:
            consumer.close()

    def open(self, partition: str) -> Reader:
        """A reader of one partition."""
        return KafkaReader(self.typed(), partition)

    def typed(self) -> Kafka:
        """The same source with the types of the columns, from the first messages that there are."""
        if self.columns is not None or not self.decoding().by_rows:
            return self
        for partition in self.partitions():
            with KafkaReader(self, partition) as reader:
                if (types := reader.types(FOUND)) is not None:
                    return replace(self, columns=types)
        cure = 'Name them, such as columns={"amount": "float64"}, or wait until there are messages.'
        raise DataError(f"topic {self.topic!r} has no message to find types from", cure=cure)


def library() -> Any:
    """The package confluent_kafka.

    Raises:
        DataError: it is not installed.
    """
    try:
        import confluent_kafka
    except ImportError:
        cure = "pip install 'talkoot[kafka]'"
        raise DataError(
            "Kafka needs the package confluent-kafka, which is not installed", cure=cure
        ) from None
    return confluent_kafka


def consumer_of(source: Kafka, on_error: Any = lambda error: None) -> Any:
    """A consumer that neither commits nor resets by itself."""
    kafka = library()
    ours = {
        **dict.fromkeys(OURS[:2], False),
        "enable.partition.eof": True,
        RESET: "error",
        "error_cb": on_error,
    }
    config = {GROUP: "talkoot", "log_level": 0, **source.config, **ours}
    try:
        return kafka.Consumer(config)
    except kafka.KafkaException as error:
        raise PlanError(
            f"librdkafka refuses the config: {error.args[0].str()}", cure="Mend config=."
        ) from None


def partitions_of(client: Any, topic: str) -> list[int]:
    """The numbers of a topic's partitions.

    Raises:
        DataError: no broker answers, or there is no such topic.
    """
    kafka = library()
    try:
        found = client.list_topics(topic, timeout=WAIT).topics[topic]
    except kafka.KafkaException as error:
        cure = f"Check {SERVERS!r} in config=, and whether the broker runs."
        raise DataError(f"no broker of Kafka answers: {error.args[0].str()}", cure=cure) from None
    if found.error is not None or not found.partitions:
        what = found.error.str() if found.error is not None else "it has no partitions"
        raise DataError(f"topic {topic!r} cannot be read: {what}", cure="Make the topic, or check its name.")
    return list(found.partitions)


@final
class KafkaReader(MessageReader):
    """The messages of one partition; offsets are the broker's."""

    tells_lag = True

    def __init__(self, source: Kafka, partition: str) -> None:
        super().__init__(source.decoding())
        self._source, self._kafka = source, library()
        self._partition = whole_number(partition, partition)
        self._consumer = consumer_of(source, self._note)
        self._begun = False  # whether the consumer was assigned its place, which it is once
        self._failed: Any | None = None  # an error that came behind messages
        self._next: int | None = None  # the offset that is read next, once it is known
        self._end: int | None = None  # where the messages ended, once it was reached
        try:
            if self._partition not in partitions_of(self._consumer, source.topic):
                raise DataError(
                    f"topic {source.topic!r} has no partition {partition}", cure="Check the topic."
                )
        except DataError:
            self._consumer.close()
            raise
        self.seek(None)

    def commit(self, offset: str) -> None:
        """Commit the offset to the group in the background, for tools that show the lag."""
        if GROUP in self._source.config:
            at = whole_number(offset.partition(INSIDE)[0], str(self._partition))
            self._consumer.commit(offsets=[self._place(at)], asynchronous=True)

    def lag(self) -> int | None:
        """Messages behind the position, as of the last fetch; None before one."""
        if self._next is not None and self._next == self._end:
            return 0  # also where an open transaction stands behind it
        _, high = self._consumer.get_watermark_offsets(self._place(0), cached=True)
        return max(0, high - self._next) if high >= 0 and self._next is not None else None

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def _move(self, place: str | None) -> None:
        start = place or self._source.start
        special = {EARLIEST: self._kafka.OFFSET_BEGINNING, LATEST: self._kafka.OFFSET_END}
        at = special[start] if start in special else whole_number(start, str(self._partition))
        self._next, self._end, self._failed = (at if at >= 0 else None), None, None
        if self._begun:  # what an assignment before has requested may still come, and move this one's place
            self._consumer.close()
            self._consumer, self._begun = consumer_of(self._source, self._note), False
        self._at = at

    def _fetch(self, messages: int, seconds: float) -> Sequence[Message]:
        ends = time.monotonic() + seconds
        found: list[Message] = []
        if not self._begun:
            self._consumer.assign([self._place(self._at)])
            self._begun = True
        while not found:
            if (first := self._consumer.poll(max(0.0, min(1.0, ends - time.monotonic())))) is not None:
                found += self._sorted((first, *self._consumer.consume(min(messages - 1, MOST), 0)))
            if self._failed is not None and not found:  # what came before an error is read first
                error, self._failed = self._failed, None
                self._raise(error)
            if time.monotonic() >= ends:
                break
        if found:
            self.trouble = None
        return found

    def _sorted(self, polled: Sequence[Any]) -> Sequence[Message]:
        """The messages among what came, which holds events too."""
        found = []
        for message in polled:
            error = message.error()
            if error is None:
                found.append(self._message(message))
            elif error.code() == self._kafka.KafkaError._PARTITION_EOF:
                self.trouble, self._next, self._end = None, message.offset(), message.offset()
            else:
                self._failed = self._failed or error
        return found

    def _message(self, message: Any) -> Message:
        offset = message.offset()
        self._next = offset + 1
        return Message(str(offset), str(offset + 1), message.value())

    def _raise(self, error: Any) -> None:
        """Raise what will not pass by itself, and note the rest."""
        codes = self._kafka.KafkaError
        topic = self._source.topic
        if error.code() in (codes._AUTO_OFFSET_RESET, codes.OFFSET_OUT_OF_RANGE):
            low, high = self._consumer.get_watermark_offsets(self._place(0), timeout=WAIT)
            wanted = self._next if self._next is not None else self._source.start
            there = f"offsets {low} to {high}"
            cause = f"partition {self._partition} of topic {topic!r} has {there}, and not {wanted}"
            raise OffsetGone(cause, resume=str(low if self._next is None or self._next < low else high))
        if error.code() in (
            codes.TOPIC_AUTHORIZATION_FAILED,
            codes.UNKNOWN_TOPIC_OR_PART,
            codes._UNKNOWN_TOPIC,
        ):
            raise DataError(
                f"topic {topic!r} cannot be read: {error.str()}", cure="Check the topic and rights."
            )
        self._note(error)

    def _note(self, error: Any) -> None:
        self.trouble = f"Kafka: {error.str()}"

    def _place(self, offset: int) -> Any:
        return self._kafka.TopicPartition(self._source.topic, self._partition, offset)

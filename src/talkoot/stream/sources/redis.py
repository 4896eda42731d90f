"""Streams of Redis as a source: each stream is a partition.

An offset is ``id@n``: the smallest id that is read next, and how many entries were ever added before it. The
second shows whether entries at the offset were trimmed, which Redis does not answer by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, final

from talkoot.core.errors import DataError
from talkoot.stream.sources.messages import Message, MessageReader
from talkoot.stream.sources.source import (
    EARLIEST,
    LATEST,
    OffsetGone,
    Reader,
    Source,
    checked_start,
    pauses,
    whole_number,
)
from talkoot.stream.sources.values import Types, Values, pairs

LAST = 2**64 - 1  # the largest number in an id
FIRST = "0-0"
AGAIN = 0.05  # seconds before a lost connection is tried again
WAIT = 10.0  # seconds until a server that does not answer is an error, where nothing can be done without it
T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True)
class Redis(Source):
    """Streams of a Redis server (7.0 or later) as the partitions of one stream.

    Needs ``pip install 'talkoot[redis]'``.

    Args:
        streams: the name of a stream, or of each.
        url: where the server is, as in ``"redis://user:password@host:6379/0"``.
        start: ``"earliest"`` (default) or ``"latest"``.
        group: a consumer group whose position is moved along, so that ``XINFO GROUPS`` shows the lag.
        value: the field of an entry that holds the value (default ``"value"``).
        values: how values are decoded: ``"json"`` (default), ``"arrow"`` or ``"module:function"``.
        columns: names and types of the columns; None (default) finds them from the first entries.

    >>> Redis("clicks", columns={"amount": "float64"}).partitions()
    ('clicks',)
    """

    streams: str | tuple[str, ...]
    url: str = field(default="redis://127.0.0.1:6379/0", repr=False)
    start: str = EARLIEST
    group: str | None = None
    value: str = "value"
    values: str = "json"
    columns: Mapping[str, str] | Types | None = None

    def __post_init__(self) -> None:
        checked_start(self.start)
        object.__setattr__(self, "columns", pairs(self.columns))
        self.decoding()

    def decoding(self) -> Values:
        """How values are decoded."""
        return Values(self.values, self.columns)  # type: ignore[arg-type]

    def partitions(self) -> tuple[str, ...]:
        """The names of the streams."""
        return (self.streams,) if isinstance(self.streams, str) else tuple(self.streams)

    def open(self, partition: str) -> Reader:
        """A reader of one stream."""
        source = self.typed()
        return RedisReader(source, connected(source.url), partition)

    def typed(self) -> Redis:
        """The same source with the types of the columns, from the first entries that there are."""
        if self.columns is not None or not self.decoding().by_rows:
            return self
        for partition in self.partitions():
            with RedisReader(self, connected(self.url), partition) as reader:
                if (types := reader.types(0)) is not None:
                    return replace(self, columns=types)
        cure = 'Name them, such as columns={"amount": "float64"}, or wait until there are entries.'
        raise DataError(
            f"the streams {', '.join(self.partitions())} have no entry to find types from", cure=cure
        )


def connected(url: str) -> Any:
    """A client of the server, which it waits for.

    Raises:
        DataError: redis is not installed, or the server does not answer.
    """
    try:
        import redis
    except ImportError:
        cure = "pip install 'talkoot[redis]'"
        raise DataError("Redis needs the package redis, which is not installed", cure=cure) from None
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_connect_timeout=10)
    try:
        answered(client.ping)
    except BaseException:
        client.close()
        raise
    return client


def answered(request: Callable[[], T]) -> T:
    """The answer to a request, which is repeated for some seconds where the server does not answer.

    Raises:
        DataError: there is none.
    """
    from redis import BusyLoadingError, ConnectionError, RedisError, TimeoutError

    cause: Exception | None = None
    try:
        for _ in pauses(WAIT):
            try:
                return request()
            except (ConnectionError, TimeoutError, BusyLoadingError) as error:
                cause = error
    except RedisError as error:
        cause = error
    raise DataError(
        f"the Redis server cannot be reached: {cause}", cure="Check url=, and whether the server runs."
    ) from cause


@final
class RedisReader(MessageReader):
    """The entries of one stream."""

    tells_lag = True

    def __init__(self, source: Redis, client: Any, partition: str) -> None:
        super().__init__(source.decoding())
        self._source, self._client, self._stream = source, client, partition
        self._field = source.value.encode()
        self._next, self._before = (
            FIRST,
            0,
        )  # the smallest id that is read next, and entries ever added before
        try:
            self.seek(None)
        except DataError:
            client.close()
            raise

    def commit(self, offset: str) -> None:
        """Move the group's position, which is made if there is none."""
        if self._source.group is None:
            return
        from redis import ResponseError

        place, before = _parsed(offset.partition("/")[0], self._stream)
        group, at = self._source.group, _id_before(place)
        with self._patient():
            try:
                self._client.xgroup_setid(self._stream, group, at, entries_read=before)
            except ResponseError:
                self._client.xgroup_create(self._stream, group, at, mkstream=True, entries_read=before)

    def lag(self) -> int | None:
        """Entries that were added and not read; None while the server does not answer."""
        with self._patient():
            _, added, _, last = self._stated()
            behind = _numbers(self._next) > _numbers(last)  # also where entries in between were deleted
            return 0 if behind else max(0, added - self._before)
        return None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _move(self, place: str | None) -> None:
        start = place or self._source.start
        if start in (EARLIEST, LATEST):
            first, added, length, last = answered(self._stated)
            self._next, self._before = (
                (first, added - length) if start == EARLIEST else (_id_after(last), added)
            )
            return
        self._next, self._before = _parsed(start, self._stream)
        answered(self._check)

    def _fetch(self, messages: int, seconds: float) -> Sequence[Message]:
        ends = time.monotonic() + seconds
        while True:
            with self._patient():
                found = self._read(messages, ends - time.monotonic())
                self.trouble = None
                if found or time.monotonic() >= ends:
                    return found
            if self.trouble is not None:
                if time.monotonic() >= ends:
                    return ()
                time.sleep(min(AGAIN, max(0.0, ends - time.monotonic())))

    def _read(self, messages: int, seconds: float) -> Sequence[Message]:
        entries = self._client.xrange(self._stream, min=self._next, count=messages)
        if not entries and seconds > 0:
            block = max(1, int(1000 * min(seconds, 1.0)))
            self._client.xread({self._stream: _id_before(self._next)}, count=1, block=block)
            entries = self._client.xrange(self._stream, min=self._next, count=messages)
        self._check()
        found = []
        for name, fields in entries:
            first = f"{self._next}@{self._before}"
            self._next, self._before = _id_after(name.decode()), self._before + 1
            found.append(Message(first, f"{self._next}@{self._before}", fields.get(self._field)))
        return found

    def _check(self) -> None:
        """Raise if entries at the position were deleted before they were read."""
        first, added, length, _ = self._stated()
        if added - length > self._before:
            cause = (
                f"stream {self._stream!r} begins at {first} now, and the entries at {self._next} are deleted"
            )
            raise OffsetGone(cause, resume=f"{first}@{added - length}")

    def _stated(self) -> tuple[str, int, int, str]:
        """The first id, entries ever added, entries that are there, and the last id ever added."""
        from redis import ResponseError

        try:
            info = self._client.xinfo_stream(self._stream)
        except ResponseError as error:
            if "no such key" in str(error):
                return FIRST, 0, 0, FIRST
            raise DataError(f"{self._stream!r} cannot be read: {error}", cure="Is it a stream?") from None
        if "entries-added" not in info:
            raise DataError("the Redis server is older than 7.0", cure="Take a newer one.")
        last = info["last-generated-id"].decode()
        first = info["first-entry"][0].decode() if info["first-entry"] else _id_after(last)
        return first, int(info["entries-added"]), int(info["length"]), last

    @contextmanager
    def _patient(self) -> Iterator[None]:
        """Note a connection that is lost, which is tried again later."""
        from redis import BusyLoadingError, ConnectionError, TimeoutError

        try:
            yield
        except (ConnectionError, TimeoutError, BusyLoadingError) as error:
            self.trouble = f"the Redis server does not answer: {error}"


def _parsed(offset: str, stream: str) -> tuple[str, int]:
    """The id and the number of entries before it."""
    name, _, before = offset.partition("@")
    for number in name.split("-"):
        whole_number(number, stream)
    return name, whole_number(before, stream)


def _numbers(name: str) -> tuple[int, ...]:
    """An id as numbers, which have its order."""
    return tuple(map(int, name.split("-")))


def _id_after(name: str) -> str:
    """The smallest id behind one.

    >>> _id_after("5-1"), _id_after("5-18446744073709551615")
    ('5-2', '6-0')
    """
    time_part, _, number = name.partition("-")
    return f"{time_part}-{int(number) + 1}" if int(number) < LAST else f"{int(time_part) + 1}-0"


def _id_before(name: str) -> str:
    """The largest id in front of one; the smallest of all for itself, which no entry has.

    >>> _id_before("5-1"), _id_before("5-0"), _id_before("0-0")
    ('5-0', '4-18446744073709551615', '0-0')
    """
    time_part, _, number = name.partition("-")
    if int(number):
        return f"{time_part}-{int(number) - 1}"
    return f"{int(time_part) - 1}-{LAST}" if int(time_part) else FIRST

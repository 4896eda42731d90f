"""Outputs as entries of a stream of Redis."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

from talkoot.core.errors import DataError
from talkoot.stream.sinks.sink import Output, Sink, json_rows
from talkoot.stream.sources.redis import connected

# One step on the server: rows that are there are skipped, also where a lost answer made a write be repeated.
APPEND = """
local have = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0')
local row = tonumber(ARGV[2])
if row > have then return redis.error_reply('row ' .. row .. ' follows ' .. have .. ' rows') end
for i = 3 + have - row, #ARGV do
  redis.call('XADD', KEYS[1], '*', 'name', ARGV[1], 'row', row + i - 3, 'value', ARGV[i])
  have = have + 1
end
redis.call('HSET', KEYS[2], ARGV[1], have)
return have
"""


@final
@dataclass(frozen=True, slots=True)
class RedisSink(Sink):
    """A stream of Redis with an entry for each row: the output's `name`, the `row` number, a JSON `value`.

    How many rows each output has stands beside the stream, in the hash ``{stream}:rows``.

    Args:
        stream: its name.
        url: where the server is.
    """

    stream: str
    url: str = field(default="redis://127.0.0.1:6379/0", repr=False)

    def open(self, name: str) -> Output:
        """The output as entries of the stream."""
        return _RedisOutput(name, self.stream, connected(self.url))


@final
class _RedisOutput(Output):
    def __init__(self, name: str, stream: str, client: Any) -> None:
        self._client, self._keys = client, (stream, f"{{{stream}}}:rows")
        super().__init__(name, int(client.hget(self._keys[1], name) or 0))
        self._append = client.register_script(APPEND)

    def _put(self, batch: Any) -> None:
        from redis import RedisError

        try:
            self._append(keys=self._keys, args=[self.name, self.rows, *json_rows(batch)])
        except RedisError as error:
            cure = "Write it again when the server is back; what it has is skipped."
            raise DataError(f"output {self.name!r}: row {self.rows} and on: {error}", cure=cure) from error

    def close(self) -> None:
        self._client.close()

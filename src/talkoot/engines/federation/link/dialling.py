"""How sites and researchers reach the coordinator: a channel of grpc, and a handshake."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, final

from talkoot.core.errors import DataError
from talkoot.engines.federation.link.exchange import Closed, Stream, read
from talkoot.engines.federation.link.greeting import software
from talkoot.engines.federation.link.messages import LIMIT, VERSIONS, Hello, Refusal, Welcome, encode

SERVICE = "talkoot.Federation"
OPTIONS = (
    ("grpc.max_receive_message_length", LIMIT),
    ("grpc.http2.max_frame_size", 1 << 20),
)


class Caller(Protocol):
    """Who calls: what an `Identity` knows of itself."""

    def channel_credentials(self) -> Any:
        """Grpc's credentials of a client."""

    def update_revoked(self, data: bytes) -> Any:
        """Take over a newer list of revoked certificates."""


@final
class Turned(Exception):
    """The coordinator will not talk to us."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal.cause)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Dialling:
    """Where the coordinator is, and how it is reached.

    Args:
        address: host and port of the coordinator.
        identity: who calls.
        options: of the channel, from the identity.
        proxy: address of an HTTP proxy that knows CONNECT, such as "http://proxy:3128"; none by default.
        clock: this side's clock.
    """

    address: str
    identity: Caller
    options: Sequence[tuple[str, Any]] = ()
    proxy: str | None = None
    clock: Callable[[], float] = time.time
    session: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    @asynccontextmanager
    async def stream(self, method: str) -> AsyncIterator[tuple[Stream, Welcome]]:
        """A stream on which both ends have greeted each other.

        Raises:
            Turned: the coordinator refuses.
            Closed: it cannot be reached.
        """
        import grpc

        proxy = [("grpc.http_proxy", self.proxy)] if self.proxy else [("grpc.enable_http_proxy", 0)]
        options = [*OPTIONS, *self.options, *proxy]
        credentials = self.identity.channel_credentials()
        async with grpc.aio.secure_channel(self.address, credentials, options=options) as channel:
            call = channel.stream_stream(f"/{SERVICE}/{method}")()
            try:
                try:
                    await call.write(encode(Hello(VERSIONS, self.session, self.clock(), software())))
                    answer = await read(call)
                except (Closed, grpc.aio.AioRpcError, grpc.aio.UsageError) as error:
                    raise Closed(await reason(call)) from error
                except DataError as error:
                    raise Closed(str(error)) from error
                if isinstance(answer, Refusal):
                    raise Turned(answer)
                if not isinstance(answer, Welcome):
                    raise Closed(f"a {type(answer).__name__} came first")
                yield call, answer
            finally:
                call.cancel()


async def reason(call: Any) -> str:
    """Why a call has ended, in grpc's words."""
    if not call.done():
        return "no answer"
    return f"{(await call.code()).name}: {await call.details()}"

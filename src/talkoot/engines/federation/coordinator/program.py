"""`talkoot coordinator FOLDER`: a coordinator on a port, until it is stopped."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

from talkoot.core.errors import DataError
from talkoot.engines.federation.consent import toml
from talkoot.engines.federation.coordinator.coordinator import Coordinator
from talkoot.engines.federation.coordinator.records import Records
from talkoot.engines.federation.identity.identity import Identity
from talkoot.engines.federation.link.dialling import OPTIONS, SERVICE
from talkoot.engines.federation.link.greeting import software
from talkoot.engines.federation.settings import COORDINATOR, CoordinatorSettings

FEW_BYTES = (  # of each link that have arrived and are not read yet, as there may be hundreds of links
    ("grpc.http2.lookahead_bytes", 1 << 19),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.experimental.tcp_max_read_chunk_size", 1 << 18),
    ("grpc.http2.write_buffer_size", 1 << 18),
)


Show = Callable[[Coordinator], AbstractContextManager[str]]


async def serve(folder: Path, say: Callable[[str], None], show: Show | None = None) -> None:
    """Run the coordinator of a folder.

    Args:
        folder: its folder.
        say: prints a line.
        show: shows it to people as long as it runs, and gives the address where.

    Raises:
        DataError: the port cannot be had.
    """
    _keep_one_heap()
    identity, found = Identity.load(folder), toml.load(folder / COORDINATOR, CoordinatorSettings)
    identity.require_role("coordinator")
    records = Records.of(folder, say)
    records.audit.append("start", {"versions": software()})
    coordinator = Coordinator(
        identity,
        records,
        say,
        sites=found.sites,
        differences=found.differences,
        silence=found.silence,
    )
    server, port = await start(coordinator, identity, found.listen)
    say(f"{identity.name} listens on {found.listen.rpartition(':')[0]}:{port}; waiting for sites")
    try:
        with show(coordinator) if show is not None else nullcontext("") as address:
            if address:
                say(f"{address} shows sites and runs, to people on this machine alone")
            await server.wait_for_termination()
    finally:
        await server.stop(0)
        records.close()


def _keep_one_heap() -> None:
    """Have all threads take memory from one heap; those of grpc would hold on to one each."""
    arena_max = -8  # of glibc's mallopt
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(arena_max, 1)


async def start(coordinator: Coordinator, identity: Identity, listen: str) -> tuple[Any, int]:
    """A server that has started, and its port.

    Raises:
        DataError: the port cannot be had.
    """
    import grpc

    server = grpc.aio.server(options=[*OPTIONS, *FEW_BYTES, ("grpc.so_reuseport", 0)])
    entries = {
        "Site": grpc.stream_stream_rpc_method_handler(coordinator.site),
        "Researcher": grpc.stream_stream_rpc_method_handler(coordinator.researcher),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, entries),))
    try:
        port = server.add_secure_port(listen, identity.server_credentials())
    except RuntimeError as error:
        raise DataError(
            f"nothing can listen on {listen}: {error}", cure="Write another one into coordinator.toml."
        ) from None
    await server.start()
    return server, port

"""Connections between processes that learn together, each to each, on which no wait is without end."""

from __future__ import annotations

import hashlib
import selectors
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import final

COMING = 30.0  # seconds in which all must have come
PATIENCE = 300.0  # seconds that processes wait for each other's sums at most
NOBODY = 2**32 - 1  # in place of a rank: of a process that cannot take part
GREETING = 5.0  # seconds in which a caller says who it is
DIGEST = 16  # bytes
KEEPALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4))  # a machine that is gone shows


class PeerLost(Exception):
    """Another process is gone, or does not answer.

    Args:
        rank: which.
        reason: half a sentence.
    """

    def __init__(self, rank: int, reason: str) -> None:
        super().__init__(reason)
        self.rank, self.reason = rank, reason


@final
class Listener:
    """Where the other processes reach this one.

    Args:
        alone: whether all are on this machine.
    """

    def __init__(self, *, alone: bool) -> None:
        host = "127.0.0.1" if alone else own_host()
        self.socket = socket.create_server((host if alone else "", 0))
        self.address = f"{host}:{self.socket.getsockname()[1]}"

    def close(self) -> None:
        """Listen no longer."""
        self.socket.close()


def own_host() -> str:
    """The address of this machine in its network, which other machines reach."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("10.255.255.255", 1))  # sends nothing, but chooses the way out
        return str(probe.getsockname()[0])
    return socket.gethostbyname(socket.gethostname())


@final
class Mesh:
    """A process among those that learn together.

    Args:
        rank: which of them this is.
        peers: a socket to each other one, by its rank.
    """

    def __init__(self, rank: int, peers: Mapping[int, socket.socket]) -> None:
        self.rank, self.size, self._peers = rank, len(peers) + 1, peers
        for peer in peers.values():
            _prepare(peer)

    def exchange(
        self,
        sent: Sequence[memoryview | bytes],
        received: Sequence[memoryview],
        patience: float | None = None,
    ) -> None:
        """Send bytes to each other process, and receive bytes of each.

        Args:
            sent: for each rank; of this one they are ignored.
            received: for each rank where they go, as many as that one sends.
            patience: seconds for all of it; PATIENCE by default.

        Raises:
            PeerLost: of the first that is gone or does not answer in time.
        """
        patience = PATIENCE if patience is None else patience
        ends = time.monotonic() + patience
        out = {rank: memoryview(sent[rank]).cast("B") for rank in self._peers if len(sent[rank])}
        into = {rank: received[rank].cast("B") for rank in self._peers if len(received[rank])}
        with selectors.DefaultSelector() as waiting:
            for rank in self._peers:
                if mask := _mask(rank, out, into):
                    waiting.register(self._peers[rank], mask, rank)
            while out or into:
                ready = waiting.select(max(0.0, ends - time.monotonic()))
                if not ready:
                    late = min(into or out)
                    raise PeerLost(late, f"sent nothing for {patience:g} s")
                for key, events in ready:
                    self._moved(key.data, events, out, into)
                    if mask := _mask(key.data, out, into):
                        waiting.modify(key.fileobj, mask, key.data)
                    else:
                        waiting.unregister(key.fileobj)

    def _moved(self, rank: int, events: int, out: dict[int, memoryview], into: dict[int, memoryview]) -> None:
        peer = self._peers[rank]
        try:
            if events & selectors.EVENT_READ and rank in into:
                count = peer.recv_into(into[rank])
                if not count:
                    raise ConnectionResetError("it has left")
                _advance(into, rank, count)
            if events & selectors.EVENT_WRITE and rank in out:
                _advance(out, rank, peer.send(out[rank]))
        except BlockingIOError:
            return
        except OSError as error:
            raise PeerLost(rank, f"is gone ({error})") from error

    def close(self) -> None:
        """Leave, which the others notice."""
        for peer in self._peers.values():
            peer.close()


def _advance(views: dict[int, memoryview], rank: int, count: int) -> None:
    views[rank] = views[rank][count:]
    if not views[rank]:
        del views[rank]


def _mask(rank: int, out: Mapping[int, memoryview], into: Mapping[int, memoryview]) -> int:
    return (selectors.EVENT_WRITE if rank in out else 0) | (selectors.EVENT_READ if rank in into else 0)


def _prepare(peer: socket.socket) -> None:
    peer.setblocking(False)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE:
        if hasattr(socket, name):
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def connected(
    listener: Listener, key: str, rank: int, addresses: Sequence[str], patience: float | None = None
) -> Mesh:
    """The mesh of all processes, once they have come.

    Args:
        listener: where others reach this one.
        key: what only those of the run know.
        rank: which of them this is.
        addresses: of all of them.
        patience: seconds in which they must come; COMING by default.

    Raises:
        PeerLost: of the first that does not come.
    """
    ends = time.monotonic() + (COMING if patience is None else patience)
    peers: dict[int, socket.socket] = {}
    try:
        for other in range(rank):
            peers[other] = _called(addresses[other], other, _greeting(key, rank, other), ends)
        while len(peers) + 1 < len(addresses):
            missing = min(set(range(len(addresses))) - {rank, *peers})
            if (found := _answered(listener, key, rank, missing, len(addresses), ends)) is not None:
                caller, peer = found
                peers[caller] = peer
    except BaseException:
        for peer in peers.values():
            peer.close()
        raise
    return Mesh(rank, peers)


def decline(key: str, addresses: Sequence[str]) -> None:
    """Let the other processes know that this one cannot take part, so that they do not wait for it."""
    for rank, address in enumerate(addresses):
        with suppress(PeerLost):
            _called(address, rank, _greeting(key, NOBODY, rank), time.monotonic() + GREETING).close()


def _greeting(key: str, caller: int, called: int) -> bytes:
    """Who calls, and a digest that only processes of the run can make."""
    digest = hashlib.blake2b(f"{key}/{caller}/{called}".encode(), digest_size=DIGEST).digest()
    return caller.to_bytes(4, "big") + digest


def _called(address: str, other: int, greeting: bytes, ends: float) -> socket.socket:
    host, _, port = address.rpartition(":")
    try:
        peer = socket.create_connection((host, int(port)), timeout=max(0.01, ends - time.monotonic()))
        peer.sendall(greeting)
    except OSError as error:
        raise PeerLost(other, f"cannot be reached at {address} ({error})") from error
    return peer


def _answered(
    listener: Listener, key: str, rank: int, missing: int, size: int, ends: float
) -> tuple[int, socket.socket] | None:
    """The next process that calls and its rank; None where somebody else called."""
    listener.socket.settimeout(max(0.01, ends - time.monotonic()))
    try:
        peer, _ = listener.socket.accept()
    except OSError as error:
        raise PeerLost(missing, f"did not come ({error})") from error
    peer.settimeout(GREETING)
    with suppress(OSError):
        greeting = peer.recv(4 + DIGEST, socket.MSG_WAITALL)
        caller = int.from_bytes(greeting[:4], "big")
        if greeting == _greeting(key, caller, rank):
            if rank < caller < size:
                return caller, peer
            if caller == NOBODY:
                peer.close()
                raise PeerLost(missing, "lost its rows")
    peer.close()
    return None

"""Sockets between the ranks of one machine: small messages to all and from all, and which rank failed.

Sockets have names in Linux's abstract namespace, so no file remains, however a process ends. Memory is passed
over them as descriptors. The kernel closes them with their process, which all other ranks see at once.
"""

from __future__ import annotations

import os
import secrets
import select
import socket
import struct
import sys
import time
import weakref
from collections import deque
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import final

from torch.distributed import DistStoreError, Store

_MESSAGE = struct.Struct("=Bq")  # a kind, and a number that goes with it
_HELLO, _DATA, _FAILED, _LEAVE = range(4)  # kinds of messages
NO_ANSWER = "sent nothing for"  # in the error of a rank that was too slow
_DESCRIPTORS = socket.CMSG_SPACE(struct.calcsize("i"))


class PeerLost(RuntimeError):
    """Another rank is gone: its process ended, or it left.

    >>> str(PeerLost(3))
    'rank 3 is gone'
    """

    def __init__(self, rank: int, why: str = "is gone") -> None:
        super().__init__(rank, why)
        self.rank, self.why = rank, why

    def __str__(self) -> str:
        return f"rank {self.rank} {self.why}"


@final
class PeerSilent(PeerLost):
    """Another rank sent nothing before the deadline."""


def same_host(store: Store, rank: int, world: int) -> bool:
    """Whether all ranks run on one machine, as one user, where each can reach the others' sockets.

    Every rank compares the same entries of the store, whose prefix only these ranks use.

    Raises:
        torch.distributed.DistStoreError: a rank did not write its entry before the store's own deadline.

    >>> import torch.distributed as dist
    >>> same_host(dist.HashStore(), 0, 1)
    True
    """
    store.set(f"host/{rank}", _host(rank))
    return len({store.get(f"host/{other}") for other in range(world)}) == 1


def _host(rank: int) -> str:
    """The boot, the network namespace and the user, which share abstract names; else unique to a rank."""
    if sys.platform != "linux":
        return f"rank {rank}"
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = Path("/proc/self/ns/net").stat()
    except OSError:
        return f"rank {rank}"
    return f"{boot} {space.st_dev} {space.st_ino} {os.getuid()}"


@final
class Links:
    """One socket to every other rank, by rank; all ranks call `send` and `receive` in the same order."""

    def __init__(self, rank: int, sockets: dict[int, socket.socket], timeout: float) -> None:
        self.rank, self.world, self.timeout = rank, len(sockets) + 1, timeout
        self._sockets = sockets
        self._received: dict[int, deque[tuple[int, int | None]]] = {peer: deque() for peer in sockets}
        self._gone: dict[int, PeerLost] = {}
        self._failed: PeerLost | None = None
        self._by_fd = {sock.fileno(): peer for peer, sock in sockets.items()}
        self._poll = select.poll()
        for sock in sockets.values():
            sock.setblocking(False)
            self._poll.register(sock, select.POLLIN)
        _OPEN_LINKS.add(self)

    @classmethod
    def meet(cls, store: Store, *, rank: int, world: int, timeout: float) -> Links:
        """Connect all ranks with each other: each to the earlier ones.

        Raises:
            PeerSilent: a rank did not come.
        """
        ends = time.monotonic() + timeout
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            name = f"talkoot-{secrets.token_hex(16)}"
            listener.bind(f"\0{name}")
            listener.listen(world)
            store.set(f"name/{rank}", name)
            sockets: dict[int, socket.socket] = {}
            try:
                for peer in range(rank):
                    sockets[peer] = _connect(store, rank, peer, ends)
                while len(sockets) < world - 1:
                    missing = next(r for r in range(world) if r != rank and r not in sockets)
                    sockets.update(_accept(listener, missing, ends))
            except BaseException:
                for sock in sockets.values():
                    sock.close()
                raise
        return cls(rank, sockets, timeout)

    def send(self, number: int, fd: int | None = None) -> None:
        """Send all others a number, and a descriptor with it.

        Raises:
            PeerLost: one of them is gone.
        """
        self._check()
        message = _MESSAGE.pack(_DATA, number)
        for peer, sock in self._sockets.items():
            try:
                if fd is None:
                    sock.send(message)
                else:
                    socket.send_fds(sock, [message], [fd])
            except OSError:
                while peer not in self._gone and self._read(peer):
                    pass  # its last message may say why
                raise self._fail(self._gone.get(peer) or PeerLost(peer)) from None

    def receive(self) -> dict[int, tuple[int, int | None]]:
        """The next number, and descriptor if there is one, of each of the others.

        Raises:
            PeerLost: one of them is gone, even if it had sent its number.
            PeerSilent: one of them did not send it before the deadline.
        """
        self._check()
        start = time.monotonic()
        while missing := [peer for peer, messages in self._received.items() if not messages]:
            for peer in missing:
                if peer in self._gone:
                    raise self._fail(self._gone[peer])
            now = time.monotonic()
            if now > start + self.timeout:
                raise self._fail(PeerSilent(missing[0], f"{NO_ANSWER} {self.timeout:g} s"))
            for fd, _ in self._poll.poll((start + self.timeout - now) * 1e3 + 1):
                self._read(self._by_fd[fd])
        return {peer: messages.popleft() for peer, messages in self._received.items()}

    def close(self) -> None:
        """Leave; ranks that wait for this one get a `PeerLost`."""
        self._notify(_LEAVE, self.rank)
        for sock in self._sockets.values():
            sock.close()
        for messages in self._received.values():
            for _, fd in messages:
                if fd is not None:
                    os.close(fd)
        self._sockets, self._received = {}, {}
        self._failed = self._failed or PeerLost(self.rank, "closed its own links")

    def _read(self, peer: int) -> bool:
        """Read one message of `peer`; whether there was one."""
        try:
            data, extra, *_ = self._sockets[peer].recvmsg(
                _MESSAGE.size, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return self._read(peer)  # comes once, before the last messages of a rank that left some unread
        except OSError:
            data, extra = b"", []
        fd = struct.unpack("i", extra[0][2])[0] if extra else None
        kind, number = _MESSAGE.unpack(data) if data else (_FAILED, peer)
        if kind == _DATA:
            self._received[peer].append((number, fd))
        else:
            self._poll.unregister(self._sockets[peer])
            self._gone[peer] = _reason(kind, number, sender=peer, receiver=self.rank)
            if kind == _FAILED:
                raise self._fail(self._gone[peer])
        return True

    def abandon(self) -> None:
        """Close without a message: a fork must not hold a rank's sockets open after that rank has died."""
        for sock in self._sockets.values():
            sock.close()

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _fail(self, error: PeerLost) -> PeerLost:
        """Store an error for all later calls, and tell the others which rank is gone."""
        if self._failed is None:
            self._failed = error
            self._notify(_FAILED, error.rank)
        return self._failed

    def _notify(self, kind: int, number: int) -> None:
        for sock in self._sockets.values():
            with suppress(OSError):
                sock.send(_MESSAGE.pack(kind, number))


def _reason(kind: int, number: int, *, sender: int, receiver: int) -> PeerLost:
    """Why a rank is gone, from the last message of `sender`."""
    if kind == _LEAVE:
        return PeerLost(sender, "has left")
    if number == sender:
        return PeerLost(number)
    if number == receiver:
        return PeerLost(number, f"was given up by rank {sender}")
    return PeerLost(number, f"is lost, as rank {sender} found")


def _connect(store: Store, rank: int, peer: int, ends: float) -> socket.socket:
    """A socket to an earlier rank."""
    silent = PeerSilent(peer, "did not come")
    try:
        store.wait([f"name/{peer}"], timedelta(seconds=max(0.01, ends - time.monotonic())))
    except DistStoreError:
        raise silent from None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.settimeout(max(0.01, ends - time.monotonic()))
        sock.connect(f"\0{store.get(f'name/{peer}').decode()}")
        sock.send(_MESSAGE.pack(_HELLO, rank))
    except OSError:
        sock.close()
        raise silent from None
    return sock


def _accept(listener: socket.socket, missing: int, ends: float) -> dict[int, socket.socket]:
    """The next of the later ranks that connects; none if another program does."""
    try:
        listener.settimeout(max(0.01, ends - time.monotonic()))
        sock, _ = listener.accept()
    except TimeoutError:
        raise PeerSilent(missing, "did not come") from None
    _, user, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if user == os.getuid():
        with suppress(OSError, struct.error):
            sock.settimeout(max(0.01, ends - time.monotonic()))
            kind, peer = _MESSAGE.unpack(sock.recv(_MESSAGE.size))
            if kind == _HELLO:
                return {peer: sock}
    sock.close()
    return {}


_OPEN_LINKS: weakref.WeakSet[Links] = weakref.WeakSet()


def _after_fork() -> None:
    for links in list(_OPEN_LINKS):
        links.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

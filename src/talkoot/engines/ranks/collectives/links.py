"""Sockets between the ranks of one machine: words to all and from all, and who is to blame if none comes.

Sockets have names in Linux's abstract namespace, so no file is left behind, whatever ends a process. Memory
is passed over them as descriptors. The kernel closes them with their process, which tells all others at once.
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

from torch.distributed import DistStoreError
from torch.distributed.distributed_c10d import Store

_WORD = struct.Struct("=Bq")  # a kind, and a number that goes with it
_HELLO, _SAY, _BLAME, _LEAVE = range(4)
_DESCRIPTORS = socket.CMSG_SPACE(struct.calcsize("i"))


class PeerLost(RuntimeError):
    """Another rank is gone: its process ended, or it left.

    Args:
        rank: the rank that is to blame.
        why: what it did.

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
    """Another rank did not say its part before the deadline."""


def same_host(store: Store, rank: int, world: int) -> bool:
    """Whether all ranks run on one machine, as one user, where each can reach the others' sockets.

    Every rank compares the same entries of the store, so all come to the same answer.

    Args:
        store: with a prefix that belongs to these ranks alone.
        rank: this process, from 0.
        world: how many ranks there are.

    Raises:
        torch.distributed.DistStoreError: a rank did not write its entry before the store's own deadline.

    >>> import torch.distributed as dist
    >>> same_host(dist.HashStore(), 0, 1)
    True
    """
    store.set(f"host/{rank}", _host(rank))
    return len({store.get(f"host/{other}") for other in range(world)}) == 1


def _host(rank: int) -> str:
    """The boot, the network namespace (abstract names belong to one) and the user; else a name of its own."""
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
    """One socket to every other rank.

    Each rank says as many words as it hears: `say` and `hear` are called in the same order everywhere.

    Args:
        rank: this process, from 0.
        sockets: by rank.
        timeout: seconds that a rank may keep this one waiting.
    """

    def __init__(self, rank: int, sockets: dict[int, socket.socket], timeout: float) -> None:
        self.rank, self.world, self.timeout = rank, len(sockets) + 1, timeout
        self._sockets = sockets
        self._heard: dict[int, deque[tuple[int, int | None]]] = {peer: deque() for peer in sockets}
        self._gone: dict[int, PeerLost] = {}
        self._failed: PeerLost | None = None
        self._by_fd = {sock.fileno(): peer for peer, sock in sockets.items()}
        self._poll = select.poll()
        for sock in sockets.values():
            sock.setblocking(False)
            self._poll.register(sock, select.POLLIN)
        _OPEN.add(self)

    @classmethod
    def meet(cls, store: Store, *, rank: int, world: int, timeout: float) -> Links:
        """Connect all ranks with each other: each to those before it.

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

    def say(self, number: int, fd: int | None = None) -> None:
        """Tell all others a number, and pass them a descriptor with it.

        Raises:
            PeerLost: one of them is gone.
        """
        self._check()
        word = _WORD.pack(_SAY, number)
        for peer, sock in self._sockets.items():
            try:
                if fd is None:
                    sock.send(word)
                else:
                    socket.send_fds(sock, [word], [fd])
            except OSError:
                while peer not in self._gone and self._listen(peer):
                    pass  # it may have said why
                raise self._fail(self._gone.get(peer) or PeerLost(peer)) from None

    def hear(self) -> dict[int, tuple[int, int | None]]:
        """The next number, and descriptor if there is one, of each of the others.

        Raises:
            PeerLost: one of them is gone, whether or not it had said its number.
            PeerSilent: one of them did not say it before the deadline.
        """
        self._check()
        start = time.monotonic()
        while missing := [peer for peer, words in self._heard.items() if not words]:
            for peer in missing:
                if peer in self._gone:
                    raise self._fail(self._gone[peer])
            now = time.monotonic()
            if now > start + self.timeout:
                raise self._fail(PeerSilent(missing[0], f"said nothing for {self.timeout:g} s"))
            for fd, _ in self._poll.poll((start + self.timeout - now) * 1e3 + 1):
                self._listen(self._by_fd[fd])
        return {peer: words.popleft() for peer, words in self._heard.items()}

    def close(self) -> None:
        """Leave; whoever still waits for this rank hears of it."""
        self._tell(_LEAVE, self.rank)
        for sock in self._sockets.values():
            sock.close()
        for words in self._heard.values():
            for _, fd in words:
                if fd is not None:
                    os.close(fd)
        self._sockets, self._heard = {}, {}
        self._failed = self._failed or PeerLost(self.rank, "has left itself")

    def _listen(self, peer: int) -> bool:
        """Take in one word of `peer`; whether there was one."""
        try:
            data, extra, *_ = self._sockets[peer].recvmsg(_WORD.size, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return self._listen(peer)  # comes once, before the last words of a rank that left some unread
        except OSError:
            data, extra = b"", []
        fd = struct.unpack("i", extra[0][2])[0] if extra else None
        kind, number = _WORD.unpack(data) if data else (_BLAME, peer)
        if kind == _SAY:
            self._heard[peer].append((number, fd))
        else:
            self._poll.unregister(self._sockets[peer])
            self._gone[peer] = _gone(kind, number, said_by=peer, heard_by=self.rank)
            if kind == _BLAME:
                raise self._fail(self._gone[peer])
        return True

    def abandon(self) -> None:
        """Close without a word: a fork of a rank must not keep its sockets open when it dies."""
        for sock in self._sockets.values():
            sock.close()

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _fail(self, error: PeerLost) -> PeerLost:
        """Keep an error for all later calls, and tell the others whose fault it is: they may not see it."""
        if self._failed is None:
            self._failed = error
            self._tell(_BLAME, error.rank)
        return self._failed

    def _tell(self, kind: int, number: int) -> None:
        for sock in self._sockets.values():
            with suppress(OSError):
                sock.send(_WORD.pack(kind, number))


def _gone(kind: int, number: int, *, said_by: int, heard_by: int) -> PeerLost:
    """What a last word means."""
    if kind == _LEAVE:
        return PeerLost(said_by, "has left")
    if number == said_by:
        return PeerLost(number)
    if number == heard_by:
        return PeerLost(number, f"was given up by rank {said_by}")
    return PeerLost(number, f"is lost, as rank {said_by} found")


def _connect(store: Store, rank: int, peer: int, ends: float) -> socket.socket:
    """A socket to a rank before this one."""
    silent = PeerSilent(peer, "did not come")
    try:
        store.wait([f"name/{peer}"], timedelta(seconds=max(0.01, ends - time.monotonic())))
    except DistStoreError:
        raise silent from None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.settimeout(max(0.01, ends - time.monotonic()))
        sock.connect(f"\0{store.get(f'name/{peer}').decode()}")
        sock.send(_WORD.pack(_HELLO, rank))
    except OSError:
        sock.close()
        raise silent from None
    return sock


def _accept(listener: socket.socket, missing: int, ends: float) -> dict[int, socket.socket]:
    """The next of the ranks behind this one that comes; none if it is somebody else who knocks."""
    try:
        listener.settimeout(max(0.01, ends - time.monotonic()))
        sock, _ = listener.accept()
    except TimeoutError:
        raise PeerSilent(missing, "did not come") from None
    _, user, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if user == os.getuid():
        with suppress(OSError, struct.error):
            sock.settimeout(max(0.01, ends - time.monotonic()))
            kind, peer = _WORD.unpack(sock.recv(_WORD.size))
            if kind == _HELLO:
                return {peer: sock}
    sock.close()
    return {}


_OPEN: weakref.WeakSet[Links] = weakref.WeakSet()


def _forked() -> None:
    for links in list(_OPEN):
        links.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

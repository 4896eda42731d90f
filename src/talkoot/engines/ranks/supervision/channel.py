"""A socket between a coordinator and one of its ranks: whole messages, both ways."""

from __future__ import annotations

import select
import socket
import struct
import threading
from typing import Any, final

from talkoot.engines.processes import wire

_SIZE = struct.Struct("=Q")


@final
class Channel:
    """Messages over a stream socket that is connected to the other side."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """For `select`."""
        return self.sock.fileno()

    def send(self, message: Any) -> None:
        """Send a message; any thread may.

        Raises:
            OSError: the other side is gone, or does not read.
        """
        data = wire.packed(message)
        with self._lock:
            self.sock.sendall(_SIZE.pack(len(data)))
            self.sock.sendall(data)

    def receive(self) -> Any:
        """The next message.

        Raises:
            EOFError: the other side is gone.
            OSError: the rest of a message did not come before the socket's timeout.
        """
        (size,) = _SIZE.unpack(wire.exactly(self.sock, _SIZE.size))
        return wire.unpacked(bytes(wire.exactly(self.sock, size)))

    def waiting(self) -> bool:
        """Whether there is something to receive."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))

"""A small HTTP proxy that knows CONNECT, counts bytes, and cuts its connections once after some of them."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Proxy:
    """A proxy on this machine.

    Args:
        cut: bytes of one connection after which it is cut, for each of the first `cuts` connections.
        cuts: how many connections.
    """

    def __init__(self, cut: int = 0, cuts: int = 0) -> None:
        self.cut, self.cuts = cut, cuts
        self.connected = 0
        self.moved: list[int] = []  # bytes of each connection
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.server.accept()
                threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        with suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += near.recv(4096)
            method, target, _ = head.split(b"\r\n")[0].split()
            assert method == b"CONNECT"
            host, port = target.decode().rsplit(":", 1)
            far = socket.create_connection((host, int(port)))
            near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            number = self.connected
            self.connected += 1
            self.moved.append(0)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink, number), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, number: int) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self.moved[number] += len(data)
                if number < self.cuts and self.moved[number] > self.cut:
                    break
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

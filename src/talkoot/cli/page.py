"""A page on loopback that only shows: a server of the standard library on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, final

from talkoot.core.errors import DataError

HOST = "127.0.0.1"  # never another one: whoever reaches the page can read it
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


@contextmanager
def page_on(port: int, render: Callable[[], str]) -> Iterator[str]:
    """Show a page as long as the block runs; its address.

    Args:
        port: on 127.0.0.1; 0 for a free one.
        render: makes the page, in another thread, each time it is loaded.

    Raises:
        DataError: the port cannot be had.
    """
    try:
        server = _Server(port, render)
    except (OSError, OverflowError) as error:
        raise DataError(
            f"no page can be shown on {HOST}:{port}: {error}", cure="Take another --page."
        ) from None
    thread = threading.Thread(target=server.serve_forever, name="talkoot-page", daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@final
class _Server(ThreadingHTTPServer):
    daemon_threads, block_on_close = True, False

    def __init__(self, port: int, render: Callable[[], str]) -> None:
        super().__init__((HOST, port), _Handler)
        self.render = render

    @property
    def names(self) -> tuple[str, ...]:
        """What a browser may call this server; by another name, a stranger's page could read it."""
        port = self.server_address[1]
        return f"{HOST}:{port}", f"localhost:{port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader who hangs up is no matter."""


@final
class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10.0

    def do_GET(self) -> None:
        """The page."""
        if self.headers.get("Host") not in self.server.names:
            self.send_error(403, "Call this page 127.0.0.1")
        elif self.path != "/":
            self.send_error(404)
        else:
            self._show()

    def _show(self) -> None:
        try:
            body = self.server.render().encode()
        except Exception:
            self.send_error(503, "The program does not answer at the moment")
            return
        self.send_response(200)
        for name, value in {**HEADERS, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""

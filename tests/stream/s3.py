"""As much of S3 as the broker of the tests needs to store its log: objects in memory, with conditions."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

DATE = "2026-01-01T00:00:00.000Z"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    lock: threading.Lock

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", tag: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if tag is not None:
            self.send_header("ETag", tag)
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_PUT(self) -> None:
        key = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.lock:
            there = self.objects.get(key)
            match, none = self.headers.get("If-Match"), self.headers.get("If-None-Match")
            if (none == "*" and there is not None) or (match and (there is None or tag_of(there) != match)):
                return self.answer(412)
            self.objects[key] = body
        return self.answer(200, tag=tag_of(body))

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if "list-type" in url.query:
            return self.answer(200, self.listing(url.path, parse_qs(url.query).get("prefix", [""])[0]))
        body = self.objects.get(unquote(url.path))
        if body is None:
            return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        if self.headers.get("If-None-Match") == tag_of(body):
            return self.answer(304, tag=tag_of(body))
        return self.answer(200, body, tag_of(body))

    do_HEAD = do_GET

    def do_DELETE(self) -> None:
        with self.lock:
            self.objects.pop(unquote(urlsplit(self.path).path), None)
        self.answer(204)

    def listing(self, bucket: str, prefix: str) -> bytes:
        start = f"{bucket.rstrip('/')}/"
        with self.lock:
            found = sorted(
                (k[len(start) :], v) for k, v in self.objects.items() if k.startswith(start + prefix)
            )
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{DATE}</LastModified>"
            f"<ETag>{escape(tag_of(body))}</ETag><Size>{len(body)}</Size></Contents>"
            for key, body in found
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>".encode()


def tag_of(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


@contextmanager
def store() -> Iterator[str]:
    """The address of an empty store, which lives as long as the context."""
    handler = type("Store", (Handler,), {"objects": {}, "lock": threading.Lock()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()

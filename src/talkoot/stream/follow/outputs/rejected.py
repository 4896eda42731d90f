"""The file of rows that could not be read, one line of JSON each, as long as the store says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError


@final
class Rejected:
    """Lines that are committed with a round and written after it, at a place that is committed too.

    So whoever writes again, after a kill or since another process took over, writes the same bytes there.

    Args:
        path: the file; it is made with the first line.
        waiting: what was committed last: the byte where its lines begin, and the lines.
    """

    __slots__ = ("_lines", "_path", "_waiting")

    def __init__(self, path: Path, waiting: Mapping[str, Any]) -> None:
        self._path, self._waiting = path, waiting
        self._lines: list[bytes] = []

    def add(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Take lines for the next commit."""
        self._lines += [json.dumps(line, default=str).encode() + b"\n" for line in lines]

    def waiting(self) -> dict[str, Any]:
        """What is to be committed of the lines that were added, behind those that were written."""
        behind = self._waiting.get("at", 0) + len(self._waiting.get("lines", ()))
        data, self._lines = b"".join(self._lines), []
        return {"at": behind, "lines": np.frombuffer(data, np.uint8)}

    def write(self, waiting: Mapping[str, Any]) -> None:
        """Write what was committed, to the disk.

        Raises:
            DataError: it cannot be written; what is lacking is written when the store is opened again.
        """
        self._waiting = waiting
        if not len(waiting.get("lines", ())):
            return
        try:
            with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
                file.seek(waiting["at"])
                file.write(waiting["lines"].tobytes())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DataError(
                f"rows that cannot be read cannot be written to {str(self._path)!r}: {error.strerror}",
                cure="Make room on its disk and call again: it goes on where it was.",
            ) from error

"""The file of rows that could not be read, one line of JSON each, as long as the store says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, final

from talkoot.core.errors import DataError


@final
class Rejected:
    """A file that grows with what is committed: what a killed process wrote beyond it is overwritten.

    Args:
        path: the file; it is made with the first line.
        size: bytes of it that are committed.
    """

    __slots__ = ("_lines", "_path", "size")

    def __init__(self, path: Path, size: int) -> None:
        self._path, self.size = path, size
        self._lines: list[bytes] = []

    def add(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Take lines for the next `write`."""
        self._lines += [json.dumps(line, default=str).encode() + b"\n" for line in lines]

    def write(self) -> int:
        """Write what was added, to the disk, and return the file's size, which is to be committed.

        Raises:
            DataError: it cannot be written.
        """
        if not self._lines:
            return self.size
        data, self._lines = b"".join(self._lines), []
        try:
            with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
                file.truncate(self.size)
                file.seek(self.size)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DataError(
                f"rows that cannot be read cannot be written to {str(self._path)!r}: {error.strerror}",
                cure="Make room on its disk and call again: it goes on where it was.",
            ) from error
        self.size += len(data)
        return self.size

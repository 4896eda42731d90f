"""Files of keys and certificates: private ones for their owner alone, others written as a whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from talkoot.core.errors import DataError, Refused


def write_private(path: Path, data: bytes) -> None:
    """Write a new file that its owner alone can read.

    Raises:
        DataError: there is such a file.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise DataError(f"{path} exists, and a private key is never overwritten") from None
    with os.fdopen(file, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def read_private(path: Path) -> bytes:
    """A private key's file.

    Raises:
        Refused: others can read it.
    """
    data = read(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise Refused(
            f"{path} can be read by others than its owner (mode {mode:04o})",
            cure=f"chmod 600 {path}; if somebody may have read it, renew the certificate.",
        )
    return data


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that readers see the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", cure="Look at the path.") from None

"""A temporary folder for bins, which is gone when it is not needed, however its process ends."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import final

from talkoot.core.errors import DataError

WAIT = 60  # seconds for the removal


@final
class Files:
    """A new folder. Where this process is killed, a shell that waits for its end removes the folder.

    Args:
        size: bytes that are to lie there; XGBoost would end the process where the disk is full.

    Raises:
        DataError: there is less room.
    """

    def __init__(self, size: int) -> None:
        place = tempfile.gettempdir()
        if (free := shutil.disk_usage(place).free) < size:
            raise DataError(
                f"the bins of the rows, {size >> 20} MiB, fit neither into memory nor into {place}, where "
                f"{free >> 20} MiB are free",
                cure="Set TMPDIR to a folder with more room, or spread the rows over more machines.",
            )
        self.folder = tempfile.mkdtemp(prefix="talkoot-bins-")
        self.prefix = str(Path(self.folder) / "bins")
        self._shell: subprocess.Popen[bytes] | None = None
        with suppress(OSError):  # no shell, or no room for it
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", 'read -r _; rm -rf -- "$0"', self.folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is not for it
            )

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._shell is not None:
            assert self._shell.stdin is not None
            self._shell.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._shell.wait(WAIT)

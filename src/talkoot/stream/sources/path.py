"""The stream that a path means."""

from __future__ import annotations

from pathlib import Path

from talkoot.core.errors import DataError
from talkoot.stream.sources.folder import Folder
from talkoot.stream.sources.log.log import SegmentLog
from talkoot.stream.sources.source import Source


def source_at(path: str | Path) -> Source:
    """The stream in a folder: a segment log, or files of Parquet and lines of JSON.

    Raises:
        DataError: there is no such folder.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise DataError(f"there is no folder {str(path)!r}", cure="Name a segment log, or a folder of files.")
    return SegmentLog(str(folder)) if any(folder.glob("*/*.arrows")) else Folder(str(folder))

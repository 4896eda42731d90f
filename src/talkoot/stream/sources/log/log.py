"""The segment log as a source: a stream that needs no server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from talkoot.core.errors import DataError, PlanError
from talkoot.stream.sources.log.reader import LogReader
from talkoot.stream.sources.log.writer import Limits, LogWriter
from talkoot.stream.sources.source import EARLIEST, Source, checked_start


@final
@dataclass(frozen=True, slots=True)
class SegmentLog(Source):
    """A stream in a folder: each partition is a folder of Arrow IPC files, with one writer and many readers.

    Rows are read while they are written, by any process that sees the folder, and outlive a writer's kill.
    The files can be opened by whatever reads Arrow, such as ``pyarrow.ipc.open_stream`` or polars.

    Args:
        folder: where the partitions are.
        start: where readers begin: ``"earliest"`` (default) or ``"latest"``.
        segment_bytes: a new file is begun when one is larger.
        retention_bytes: a partition's oldest files are deleted while all are larger; None (default): never.
        retention_seconds: files are deleted when their last row is older; None (default): never.

    >>> import tempfile, pyarrow as pa
    >>> log = SegmentLog(tempfile.mkdtemp())
    >>> with log.writer("0") as writer:
    ...     writer.append(pa.table({"amount": [12.5, 3.0, 7.25]}))
    3
    >>> with log.open("0") as reader:
    ...     reader.seek("1")
    ...     print(reader.poll(rows=100, seconds=0).batch.to_pydict())
    {'amount': [3.0, 7.25]}
    """

    folder: str
    start: str = EARLIEST
    segment_bytes: int = 64 << 20
    retention_bytes: int | None = None
    retention_seconds: float | None = None

    def __post_init__(self) -> None:
        checked_start(self.start)
        limits = (self.segment_bytes, self.retention_bytes, self.retention_seconds)
        if any(limit is not None and limit <= 0 for limit in limits):
            raise PlanError("a limit of a segment log is above 0", cure="Leave it out for none.")
        object.__setattr__(self, "folder", str(Path(self.folder).absolute()))

    def partitions(self) -> tuple[str, ...]:
        """The names of the folders."""
        folder = Path(self.folder)
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
        if not names:
            raise DataError(
                f"{self.folder} has no partition yet",
                cure='A writer makes one: SegmentLog(folder).writer("0").',
            )
        return tuple(names)

    def open(self, partition: str) -> LogReader:
        """A reader of one partition."""
        return LogReader(self._folder_of(partition), self.start)

    def writer(self, partition: str = "0") -> LogWriter:
        """The writer of one partition, which is made if it is new.

        Raises:
            DataError: another process writes it, it was ended, or what is there is damaged.
        """
        limits = Limits(self.segment_bytes, self.retention_bytes, self.retention_seconds)
        return LogWriter(self._folder_of(partition), limits)

    def _folder_of(self, partition: str) -> Path:
        if Path(partition).name != partition:
            raise DataError(f"{partition!r} is no name of a folder", cure="Name a partition such as '0'.")
        return Path(self.folder) / partition

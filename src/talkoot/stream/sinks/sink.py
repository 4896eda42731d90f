"""What a sink is: a description that travels, and the output that it opens under a name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import msgspec

from talkoot.core.errors import DataError


class Output(ABC):
    """Numbered rows under one name, in order. Whoever writes repeats rows after a kill; these are skipped.

    Args:
        name: what the output is called, in errors.
        rows: how many rows it has already.
    """

    def __init__(self, name: str, rows: int) -> None:
        self.name, self._rows = name, rows

    @property
    def rows(self) -> int:
        """How many rows it has: the number of the next."""
        return self._rows

    def write(self, row: int, batch: Any) -> int:
        """Write rows that it does not have yet.

        Args:
            row: the number of the first of them, counted since the output began.
            batch: the rows, a `pyarrow.RecordBatch`.

        Returns:
            How many were new.

        Raises:
            DataError: rows in front of them are missing, or the sink cannot be written.
        """
        repeated = self._rows - row
        if repeated < 0:
            raise DataError(
                f"output {self.name!r} has {self._rows} rows, and row {row} is to follow",
                cure="Was the sink emptied while the stream went on? Give it a new name.",
            )
        fresh = batch.slice(min(repeated, batch.num_rows))
        if fresh.num_rows:
            self._put(fresh)
            self._rows += fresh.num_rows
        return int(fresh.num_rows)

    @abstractmethod
    def _put(self, batch: Any) -> None:
        """Write rows behind the last, so that they outlive a kill."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Sink(ABC):
    """Where rows go: a frozen description that travels to the nodes that write."""

    @abstractmethod
    def open(self, name: str) -> Output:
        """The output of this name, which is made if it is new; written by one process at a time.

        Args:
            name: such as the run and the partition that the rows were made of.
        """


def json_rows(batch: Any) -> list[bytes]:
    """Each row as a JSON object; what is not finite becomes null."""
    return [msgspec.json.encode(row) for row in batch.to_pylist()]

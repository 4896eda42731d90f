"""Rows that are generated while they are followed: rows a second, and the memory of the process meanwhile.

Called by streams.py: ``python benchmarks/stream_long.py ROWS``; prints one JSON line.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import talkoot as tk
from talkoot.stream.sources.source import Chunk, Reader, Source
from talkoot.testing.streams import hyperplane

BLOCK = 1 << 16  # rows that are generated together
WARM = 1_000_000  # rows before the clock starts: kernels are compiled, and memory has come to rest


@final
@dataclass(frozen=True)
class Generated(Source):
    """So many rows, never more than one block of them in memory."""

    rows: int

    def partitions(self) -> tuple[str, ...]:
        return ("0",)

    def open(self, partition: str) -> Reader:
        return GeneratedReader(self.rows)


@final
class GeneratedReader(Reader):
    """A position in blocks that are made again from their numbers."""

    furthest: ClassVar[int] = 0  # row that any reader has come to

    def __init__(self, rows: int) -> None:
        self._rows, self._row, self._number = rows, 0, -1

    def seek(self, offset: str | None) -> None:
        self._row = 0 if offset in (None, "earliest") else int(offset)

    def poll(self, rows: int, seconds: float) -> Chunk | None:
        if self._row == self._rows:
            return None
        number, inside = divmod(self._row, BLOCK)
        if number != self._number:
            self._block, self._number = hyperplane(BLOCK, seed=number), number
        batch = self._block.slice(inside, min(rows, self._rows - self._row))
        first, self._row = self._row, self._row + batch.num_rows
        GeneratedReader.furthest = max(GeneratedReader.furthest, self._row)
        return Chunk(batch, str(first), str(self._row))

    def ended(self) -> bool:
        return self._row == self._rows

    def lag(self) -> int:
        return self._rows - self._row


def memory() -> float:
    """Megabytes of memory that the process has now."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def main() -> None:
    rows = int(sys.argv[1])
    samples: list[tuple[int, float, float]] = []  # (rows, seconds, megabytes)
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.5):
            samples.append((GeneratedReader.furthest, time.perf_counter(), memory()))

    sampler = threading.Thread(target=sample)
    sampler.start()
    with tempfile.TemporaryDirectory() as folder:
        found = tk.follow(
            tk.online.Logistic(tk.online.AdaGrad(rate=0.1)),
            Generated(rows),
            target="label",
            sync=tk.every(rows=100_000),
            store=folder,
            progress=False,
        )
        stored = sum(path.stat().st_size for path in Path(folder).iterdir())
    over.set()
    sampler.join()
    warm = [one for one in samples if one[0] >= min(WARM, rows // 2)]
    cuts = [rows * part // 10 for part in range(1, 11)]
    tenths = [max(mb for at, _, mb in warm if at <= cut) for cut in cuts if cut >= warm[0][0]]
    answer = {
        "rows": found.rows,
        "rows_per_second": (warm[-1][0] - warm[0][0]) / (warm[-1][1] - warm[0][1]),
        "first_mb": warm[0][2],
        "peaks_mb": tenths,
        "store_mb": stored / 2**20,
        "log_loss": found.metrics["log_loss"],
        "accuracy": found.metrics["accuracy"],
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

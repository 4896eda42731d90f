"""Rows a second of the segment log, written and read: ``python benchmarks/streams_sources.py``."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from talkoot.stream.sources.log.log import SegmentLog

ROWS, COLUMNS = 2_000_000, 10


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def write(log: SegmentLog, batch: pa.RecordBatch, times: int, *, sync: bool) -> None:
    with log.writer() as writer:
        for _ in range(times):
            writer.append(batch, sync=sync)


def read(log: SegmentLog, rows: int) -> None:
    with log.open("0") as reader:
        while reader.poll(rows, 0) is not None:
            pass


def main() -> None:
    random = np.random.default_rng(0)
    print(f"segment log, {COLUMNS} columns of float64, million rows a second")
    for rows in (100, 1_000, 10_000, 100_000):
        total = min(ROWS, rows * 2_000)
        batch = pa.record_batch({f"x{i}": random.normal(size=rows) for i in range(COLUMNS)})
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
            log, synced = SegmentLog(folder), SegmentLog(other)
            plain = seconds(lambda: write(log, batch, total // rows, sync=False))  # noqa: B023
            safe = seconds(lambda: write(synced, batch, total // rows, sync=True))  # noqa: B023
            back = seconds(lambda: read(log, 1 << 16))  # noqa: B023
        figures = f"write {total / plain / 1e6:6.2f}, write and fsync {total / safe / 1e6:6.2f}"
        print(f"  batches of {rows:7,}: {figures}, read {total / back / 1e6:6.2f}")


if __name__ == "__main__":
    main()

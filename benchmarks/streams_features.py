"""Windows over a stream of payments: rows a second of `tk.features`, beside pandas, and bytes of the state.

    python benchmarks/streams_features.py [rows] [cards]

A row a tenth of a second, cards at random, in batches of 65,536; the kernel is compiled before.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd
import pyarrow as pa

import talkoot as tk
from talkoot.stream.features.window import Window

BATCH = 65_536
CASES = {
    "count, sum, mean 1h": [tk.window("1h", "count", "sum", "mean", by="card", of="amount")],
    "all of 1h but distinct": [
        tk.window("1h", "count", "sum", "mean", "std", "min", "max", by="card", of="amount")
    ],
    "distinct 1h": [tk.window("1h", "distinct", by="card", of="shop")],
    "sum, max 1d every 1h": [tk.window("1d", "sum", "max", by="card", of="amount", every="1h")],
    "sum of 10m, 1h, 6h": [tk.window(d, "sum", by="card", of="amount") for d in ("10m", "1h", "6h")],
}


def payments(rows: int, cards: int, start: int) -> pa.RecordBatch:
    chance = np.random.default_rng(start)
    return pa.record_batch(
        {
            "at": (start + np.arange(rows)) / 10,
            "card": chance.integers(0, cards, rows),
            "amount": np.round(chance.lognormal(3, 1, rows), 2),
            "shop": chance.integers(0, 1000, rows),
        }
    )


def measure(windows: list[Window], rows: int, cards: int) -> tuple[float, int]:
    """Rows a second, and bytes at the end."""
    plan = tk.features(*windows, time="at", grace="1m")
    plan.apply(plan.start(), payments(1000, cards, 0))
    state, seconds = plan.start(), 0.0
    for start in range(0, rows, BATCH):
        batch = payments(min(BATCH, rows - start), cards, start)
        begun = time.perf_counter()
        plan.apply(state, batch)
        seconds += time.perf_counter() - begun
    return rows / seconds, sum(array.nbytes for array in state.values())


def pandas_rate(rows: int, cards: int) -> float:
    """Rows a second of pandas for the sum of one hour."""
    frame = payments(rows, cards, 0).to_pandas()
    frame["at"] = pd.to_datetime(frame["at"], unit="s")
    begun = time.perf_counter()
    frame.groupby("card").rolling("1h", on="at")["amount"].sum()
    return rows / (time.perf_counter() - begun)


def main() -> None:
    rows, cards = (int(text) for text in (sys.argv[1:] + ["1000000", "10000"][len(sys.argv) - 1 :]))
    for name, windows in CASES.items():
        rate, size = measure(windows, rows, cards)
        print(f"{name:24} {rate / 1e6:6.2f} M rows/s  {size / 1e6:6.1f} MB")
    print(f"{'pandas, sum 1h':24} {pandas_rate(min(rows, 1_000_000), cards) / 1e6:6.2f} M rows/s")


if __name__ == "__main__":
    main()

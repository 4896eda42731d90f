"""Streams whose labels come later, in a stream of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from tiny import table

import talkoot as tk


def rows_and_labels(rows: int, seed: int = 0, delay: float = 60.0) -> tuple[pa.Table, pa.Table]:
    """Rows, one a second, and their labels in the order in which they arrive, up to `delay` seconds later."""
    data, rng = table(rows, seed), np.random.default_rng(seed)
    ids, when = pa.array([f"{seed}-{i}" for i in range(rows)]), np.arange(rows, dtype=float)
    arrives = when + np.floor(rng.uniform(1, delay, rows))
    labels = pa.table({"id": ids, "at": arrives, "y": data["y"]})
    shown = data.drop_columns(["y"]).append_column("id", ids).append_column("t", pa.array(when))
    return shown, labels.take(pa.array(np.argsort(arrives, kind="stable")))


def rule(labels: Any, **settings: Any) -> tk.Labels:
    """How these labels find their rows."""
    return tk.Labels(labels, id="id", time="t", arrives="at", **settings)


def parts(sizes: list[int]) -> tuple[Mapping[str, pa.Table], Mapping[str, pa.Table]]:
    """Rows and labels by partition."""
    made = {str(part): rows_and_labels(rows, part) for part, rows in enumerate(sizes)}
    rows, labels = ({name: pair[which] for name, pair in made.items()} for which in (0, 1))
    return rows, labels

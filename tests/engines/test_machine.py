"""Cores and threads."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import talkoot.core.cores as quota
from talkoot.core.cores import cores
from talkoot.engines.machine import one_core


def blas_threads() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000\n", None), ("150000 100000\n", 2), ("50000 100000\n", 1), ("nonsense", None)],
)
def test_the_quota_of_a_container_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: int | None
) -> None:
    path = tmp_path / "cpu.max"
    path.write_text(text)
    monkeypatch.setattr(quota, "_QUOTA", path)
    allowed = len(os.sched_getaffinity(0))
    assert cores() == min(allowed, expected or allowed)


def test_limits_are_put_back_also_when_they_overlap() -> None:
    before = blas_threads()
    one, two = one_core(), one_core()
    one.__enter__()
    assert blas_threads() == {1}
    two.__enter__()
    one.__exit__(None, None, None)
    assert blas_threads() == {1}, "the second still runs"
    two.__exit__(None, None, None)
    assert blas_threads() == before

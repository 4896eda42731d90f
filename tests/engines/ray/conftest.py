"""One local cluster for all tests of Ray, ended behind them; learners and tasks that tests elsewhere use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
sys.path += [str(TESTS / "faults"), str(TESTS / "learners" / "deep")]


@pytest.fixture(scope="session", autouse=True)
def cluster() -> Iterator[None]:
    pytest.importorskip("ray", reason="Ray is not installed")
    from talkoot.engines.ray.cluster import CLUSTER

    yield
    CLUSTER.leave()

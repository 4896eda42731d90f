"""One local cluster for all tests of a module, ended behind them; learners that fail as scripted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "faults"))


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    pytest.importorskip("ray", reason="Ray is not installed")
    from talkoot.engines.ray.cluster import CLUSTER

    yield
    CLUSTER.leave()

"""Faults of programs, networks, disks and clocks in every phase of a run over real processes.

Each cell ends in the right answer, to the last bit, or in a named error; then the same call goes on to the
right answer. No round is counted twice, none is lost, and whoever was gone is there in the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cells import FAULTS, Cell, cells, outcome
from stage import Stage, obstacle, stage

pytestmark = pytest.mark.skipif(obstacle() is not None, reason=f"no hosts of its own: {obstacle()}")
FEW = [
    Cell("kill -9", "coordinator", "unmask"),
    Cell("partition", "site", "update"),
]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as found:
        yield found


def failures(made: Stage, chosen: Iterator[Cell] | list[Cell]) -> list[str]:
    """The cells that end in something else, up to the first one, as a stage is not used after that."""
    for cell in chosen:
        try:
            outcome(made, cell)
        except AssertionError as error:
            return [f"{cell}: {error}\n{made.printed()}"]
    return []


def test_a_few_faults(made: Stage) -> None:
    assert failures(made, FEW) == []


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_every_phase(made: Stage, fault: str) -> None:
    assert failures(made, cells(fault)) == []

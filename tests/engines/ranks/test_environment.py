"""What launchers write into the environment of their ranks."""

from __future__ import annotations

import pytest

from talkoot.core.errors import PlanError
from talkoot.engines.ranks.supervision.environment import Place, place

FIRST = {"MASTER_ADDR": "10.0.0.7", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("environ", "launcher", "rank", "world", "local"),
    [
        ({"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "0"}, "torchrun", 1, 4, 0),
        (
            {"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_RANK": "1"},
            "Open MPI",
            3,
            4,
            1,
        ),
        ({"PMI_RANK": "2", "PMI_SIZE": "3", "MPI_LOCALRANKID": "2"}, "MPICH", 2, 3, 2),
        ({"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1"}, "Slurm", 5, 8, 1),
        ({"JOB_COMPLETION_INDEX": "2", "WORLD_SIZE": "3"}, "a Kubernetes indexed job", 2, 3, 0),
    ],
)
def test_each_launcher_is_understood(
    environ: dict[str, str], launcher: str, rank: int, world: int, local: int
) -> None:
    assert place(FIRST | environ) == Place(
        rank=rank, world=world, local=local, host="10.0.0.7", port=29500, launcher=launcher
    )


def test_torchrun_keeps_the_store_itself() -> None:
    environ = FIRST | {"RANK": "0", "WORLD_SIZE": "2", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    assert place(environ).served


def test_torchrun_within_another_launcher_counts() -> None:
    environ = FIRST | {"RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}
    assert place(environ).launcher == "torchrun"


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node07", "node07"),
        ("node[07-09,12],other", "node07"),
        ("a,b[1-2]", "a"),
        ("rack[2-3]n[01,04]", "rack2n01"),
    ],
)
def test_slurm_says_where_the_first_rank_is(nodes: str, first: str) -> None:
    environ = {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": nodes}
    assert place(environ).host == first


def test_a_batch_script_of_slurm_is_no_rank() -> None:
    assert place({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_NODELIST": "a,b"}).world == 1


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK=2 is no rank of WORLD_SIZE=2"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "Ranks count from 0"),
        ({"RANK": "one", "WORLD_SIZE": "2"}, "'one' is no whole number"),
        ({"RANK": "1"}, "nothing says of how many. Set WORLD_SIZE"),
        ({"WORLD_SIZE": "2"}, "nothing which this is. Set RANK"),
        ({"JOB_COMPLETION_INDEX": "1"}, "Set WORLD_SIZE"),
        ({"MASTER_PORT": "http", "RANK": "0", "WORLD_SIZE": "1"}, "MASTER_PORT='http'"),
    ],
)
def test_what_contradicts_itself_is_refused(environ: dict[str, str], text: str) -> None:
    with pytest.raises(PlanError, match=text):
        place(FIRST | environ)


def test_ranks_that_cannot_find_the_first_one_are_refused() -> None:
    with pytest.raises(PlanError, match="MPICH started 2 ranks and nothing says where the first one is"):
        place({"PMI_RANK": "0", "PMI_SIZE": "2"})

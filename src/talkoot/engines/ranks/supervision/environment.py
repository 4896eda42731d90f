"""Which rank this process is, read from the environment that its launcher set."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from talkoot.core.errors import PlanError

# (launcher, rank, world size, rank on this machine), most specific first
_LAUNCHERS = (
    ("torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("MPICH", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    ("Slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),  # srun's, not those of a batch script
    ("a Kubernetes indexed job", "JOB_COMPLETION_INDEX", "WORLD_SIZE", "LOCAL_RANK"),
)
_PORT = 29400  # where the first rank listens by default


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A process among the ranks of a job."""

    rank: int  # from 0
    world: int  # how many there are
    local: int = 0  # its number among the ranks of this machine
    host: str = "127.0.0.1"  # where the first rank listens
    port: int = _PORT  # the first rank's port
    launcher: str = "nobody"  # the program that started the ranks
    served: bool = False  # the launcher runs the store, not the first rank


def place(environ: Mapping[str, str] = os.environ) -> Place:
    """The place that the environment gives this process; alone where there is no launcher.

    Raises:
        PlanError: the environment contradicts itself, or does not say where the first rank is.

    >>> place({"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "10.0.0.7", "MASTER_PORT": "29500"})
    Place(rank=1, world=4, local=0, host='10.0.0.7', port=29500, launcher='torchrun', served=False)
    >>> place({}).world
    1
    """
    for launcher, rank, world, local in _LAUNCHERS:
        if rank in environ and world in environ:
            return _place(launcher, rank, world, local, environ)
        if rank in environ and launcher in ("torchrun", "a Kubernetes indexed job"):
            raise PlanError(
                f"{rank}={environ[rank]} says which rank this is and nothing says of how many",
                cure=f"Set {world} for every rank.",
            )
    if environ.get("WORLD_SIZE", "1") != "1":
        raise PlanError(
            f"WORLD_SIZE={environ['WORLD_SIZE']} says how many ranks there are and nothing which this is",
            cure="Set RANK, from 0, for every rank.",
        )
    return Place(rank=0, world=1)


def _place(launcher: str, rank: str, world: str, local: str, environ: Mapping[str, str]) -> Place:
    number, count = _whole(rank, environ), _whole(world, environ)
    if not 0 <= number < count:
        raise PlanError(f"{rank}={number} is no rank of {world}={count}", cure="Ranks count from 0.")
    host = environ.get("MASTER_ADDR") or _first_host(environ)
    if host is None and count > 1:
        raise PlanError(
            f"{launcher} started {count} ranks and nothing says where the first one is",
            cure="Set MASTER_ADDR (and MASTER_PORT) to an address of the first rank, the same for all.",
        )
    return Place(
        rank=number,
        world=count,
        local=_whole(local, environ) if local in environ else 0,
        host=host or "127.0.0.1",
        port=_whole("MASTER_PORT", environ) if "MASTER_PORT" in environ else _PORT,
        launcher=launcher,
        served=environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


def _whole(name: str, environ: Mapping[str, str]) -> int:
    try:
        return int(environ[name])
    except ValueError:
        raise PlanError(f"{name}={environ[name]!r} is no whole number") from None


def _first_host(environ: Mapping[str, str]) -> str | None:
    """The first host of Slurm's list, such as node[07-09,12],other."""
    listed = environ.get("SLURM_STEP_NODELIST") or environ.get("SLURM_JOB_NODELIST")
    if not listed:
        return None
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", listed)
    return re.sub(r"\[([^\],-]+)[^\]]*\]", r"\1", first[0] if first else listed)

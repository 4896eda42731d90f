"""The private names of torch that ranks use are those of the installed version."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from talkoot.learners.deep import torch_private as private

NAMES: list[tuple[Any, str]] = [
    (torch.nn.Linear(1, 1), "_parameters"),
    (torch.nn.Linear(1, 1), "_buffers"),
    (torch.nn.Linear(1, 1), "_modules"),
    (torch.zeros(1).untyped_storage(), "_share_fd_cpu_"),
]


@pytest.mark.parametrize(("owner", "name"), NAMES, ids=[name for _, name in NAMES])
def test_no_private_name_has_moved(owner: Any, name: str) -> None:
    assert hasattr(owner, name), _moved(name)


def test_the_parts_of_a_module_are_its_own() -> None:
    module = torch.nn.BatchNorm1d(2, affine=False)
    module.add_module("inner", torch.nn.Linear(1, 1))
    names = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked", "inner"}
    assert private.own_parts(module).keys() == names
    assert private.own_parts(module)["weight"] is None


def test_a_shared_storage_lies_behind_its_descriptor() -> None:
    tensor = torch.arange(3.0)
    descriptor = private.share_memory(tensor.untyped_storage())
    assert os.pread(descriptor, 12, 0) == tensor.numpy().tobytes()


def test_a_mesh_forgets_its_groups() -> None:
    with _mesh() as mesh:
        assert hasattr(mesh, "_pg_registry"), _moved("_pg_registry")
        private.forget_groups(mesh)
        assert not mesh._pg_registry


def test_the_compiler_is_where_it_was() -> None:
    private.load_compiler()


def _moved(name: str) -> str:
    return f"torch {torch.__version__} moved {name}; mend learners/deep/torch_private.py"


@contextmanager
def _mesh() -> Iterator[DeviceMesh]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield init_device_mesh("cpu", (1,))
    finally:
        dist.destroy_process_group()

"""The private names of torch that are used here; a test says which a new version moved."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import UntypedStorage


def load_compiler() -> None:
    """Import the compiler, which every optimizer loads and which takes a second."""
    import_module("torch._dynamo")


def own_parts(module: Any) -> dict[str, Any]:
    """The parameters, buffers and modules of a module itself by name; None where one is not set."""
    return {**module._parameters, **module._buffers, **module._modules}


def share_memory(storage: UntypedStorage) -> int:
    """Move a storage into shared memory; its descriptor, which belongs to the storage."""
    return int(storage._share_fd_cpu_()[0])


def forget_groups(mesh: Any) -> None:
    """Drop the references of a device mesh to its process groups."""
    mesh._pg_registry.clear()

"""Which GPU a rank uses, and what exchanges tensors of ranks that have or share one."""

from __future__ import annotations

from collections.abc import Sequence

import torch

_NONE = "none"


def choose_gpu(local: int) -> None:
    """Use the GPU of a local rank, if there are any; ranks share them where there are fewer."""
    if torch.cuda.is_available():
        torch.cuda.set_device(local % torch.cuda.device_count())


def own_gpu() -> str:
    """The GPU of this process: the same word in every process that uses it."""
    if not torch.cuda.is_available():
        return _NONE
    return str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)


def backend(gpus: Sequence[str]) -> str:
    """The backend of torch.distributed for ranks with these GPUs: NCCL needs one GPU for each rank.

    >>> backend(["1f-03", "2e-04"]), backend(["1f-03", "1f-03"]), backend(["1f-03", "none"])
    ('cpu:gloo,cuda:nccl', 'gloo', 'gloo')
    """
    apart = _NONE not in gpus and len(set(gpus)) == len(gpus)
    return "cpu:gloo,cuda:nccl" if apart else "gloo"

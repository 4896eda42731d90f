"""Tensors of torch as data: the name of a dtype, a shape, and the bytes as they lie in memory."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from talkoot.core.errors import DataError
from talkoot.formats.values import Decoder, Encoder, shape_of

if TYPE_CHECKING:
    import torch

DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor; without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def encode(value: Any, encoder: Encoder) -> Any:
    """Data of a dense tensor; None for anything else."""
    if not is_tensor(value):
        return None
    import torch

    name = str(value.dtype).removeprefix("torch.")
    if name not in DTYPES or value.layout is not torch.strided:
        return None
    plain = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return {"$": "tensor", "dtype": name, "shape": list(value.shape), "bytes": encoder.encode(plain)}


def decode(data: Mapping[str, Any], decoder: Decoder) -> torch.Tensor:
    """The tensor.

    Raises:
        DataError: another dtype, or bytes that are not those of its shape.
    """
    import torch

    name, shape, plain = data["dtype"], shape_of(data["shape"]), decoder.decode(data["bytes"])
    if name not in DTYPES:
        raise DataError(f"{name!r:.40} is no dtype that may travel")
    dtype = getattr(torch, name)
    size = math.prod(shape) * dtype.itemsize
    if not isinstance(plain, np.ndarray) or plain.dtype != np.uint8 or plain.shape != (size,):
        raise DataError(f"the bytes are no tensor of {name} with shape {shape}")
    flat = torch.from_numpy(plain).view(dtype) if size else torch.empty(0, dtype=dtype)
    return flat.reshape(shape)

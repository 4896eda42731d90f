"""The parameters of a task: what `tk.Torch` is made of, with their checks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from functools import partial
from numbers import Integral, Real
from typing import Any, Literal

import torch

from talkoot.core.errors import PlanError
from talkoot.core.learner import Learner
from talkoot.learners.deep.tensors import KEEP, MEAN

_NUMBERS = (
    ("epochs", Real, "number"),
    ("batch", Integral, "whole number"),
    ("accumulate", Integral, "whole number"),
    ("clip", Real, "number"),
)


@dataclass(frozen=True, eq=False, repr=False)
class TorchSettings(Learner):
    """The parameters of a task; `Torch` documents them."""

    build: Callable[[], Any]
    loss: Callable[[Any, Any], torch.Tensor]
    _: KW_ONLY
    metrics: Mapping[str, Callable[[Any, Any], torch.Tensor]] = field(default_factory=dict)
    epochs: float = 1.0
    batch: int = 256
    accumulate: int = 1
    clip: float | None = None
    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False
    device: str | None = None
    buffers: Mapping[str, str] = field(default_factory=dict)
    count: Callable[[Any, Any], Any] | None = None
    unused: Literal["refuse", "zeros"] = "refuse"

    def __post_init__(self) -> None:
        for name in ("build", "loss"):
            value = getattr(self, name)
            if not callable(value) or (name == "build" and isinstance(value, torch.nn.Module)):
                raise PlanError(
                    f"{name}= is a {type(value).__name__}, not a function",
                    cure="Write build=lambda: (module, optimizer), and loss=torch.nn.functional.mse_loss.",
                )
        if not isinstance(self.metrics, Mapping):
            raise PlanError("metrics= is no dict", cure='Write metrics={"accuracy": accuracy}.')
        for name, kind, what in _NUMBERS:
            value = getattr(self, name)
            if value is not None and not (isinstance(value, kind) and 0 < float(value) < math.inf):
                raise PlanError(f"{name}={value!r} is no positive {what}")
        if self.precision not in ("float32", "bf16"):
            raise PlanError(f"precision={self.precision!r} is unknown", cure='Take "float32" or "bf16".')
        if self.unused not in ("refuse", "zeros"):
            raise PlanError(f"unused={self.unused!r} is unknown", cure='Take "refuse" or "zeros".')
        if self.count is not None and not callable(self.count):
            raise PlanError(
                f"count= is a {type(self.count).__name__}, not a function",
                cure="Write count=lambda output, target: (target != -100).sum().",
            )
        wrong = {rule for rule in self.buffers.values() if rule not in (MEAN, KEEP)}
        if wrong:
            raise PlanError(f"buffers merge by 'mean' or 'keep', not {wrong.pop()!r}")

    def __repr__(self) -> str:
        plain = {f.name: f.default for f in fields(self) if isinstance(f.default, int | float | str | None)}
        given = {k: getattr(self, k) for k, v in plain.items() if getattr(self, k) != v}
        named = [f"{k}={_name(v) if callable(v) else repr(v)}" for k, v in given.items()]
        return f"Torch({', '.join([_name(self.build), _name(self.loss), *named])})"

    def steps(self, rows: int, batch: int | None = None) -> int:
        """Steps that learn from `rows` samples `epochs` times; `batch` is a node's share of one, if any."""
        return max(1, math.ceil(self.epochs * rows / (batch or self.batch)))


def _name(function: Any) -> str:
    """A function's name, the same in every process."""
    if isinstance(function, partial):
        given = [*map(repr, function.args), *(f"{k}={v!r}" for k, v in function.keywords.items())]
        return f"{_name(function.func)}({', '.join(given)})"
    name = str(getattr(function, "__qualname__", repr(function)))
    return f"{type(function).__name__}()" if " at 0x" in name else name

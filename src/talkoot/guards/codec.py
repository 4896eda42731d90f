"""The base of codecs: leaves are sent packed, and the rounding error is added to the next update."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.transform import Stage, Transform
from talkoot.core.update import BUFFER, Leaf, Update
from talkoot.guards.packed import Packed

Residuals = Mapping[str, np.ndarray]


class Codec(Transform):
    """Packs floating SUM leaves that are large enough; all others are sent unchanged.

    Statistics (leaves named ``buffer:...``) are never packed: a rounding error could make a small running
    variance negative.

    One round is biased by rounding. With error feedback the residual stays at the node and is added to its
    next update, so the sum over rounds is off by the last residual only. Source: Seide et al. 2014;
    Karimireddy et al., arXiv:1901.09847.
    """

    bias: ClassVar[Literal["exact", "unbiased", "biased"]] = "biased"
    stage: ClassVar[Stage] = Stage.CODEC
    feedback: bool

    @abstractmethod
    def packs(self, size: int) -> bool:
        """Whether a leaf of `size` values is worth packing."""

    @abstractmethod
    def compress(self, values: np.ndarray, carry: np.ndarray | None) -> tuple[Packed, np.ndarray]:
        """Pack values + carry; also return the residual, float32 in the shape of `values`."""

    def encode(self, update: Update, state: Residuals | None, ctx: Ctx) -> tuple[Update, Residuals | None]:
        """Pack each leaf and return the residuals as the new state. `state` is not modified.

        Raises:
            DataError: a leaf holds NaN or infinity.
        """
        values, residuals = dict(update.values), dict(state or {})
        for name in update.values:
            if self._is_packable(update, name):
                packed, rest = self.compress(update.values[name], residuals.get(name))
                if not np.isfinite(packed.scales).all():
                    raise _not_finite(name, ctx)
                values[name] = packed
                if self.feedback:
                    residuals[name] = rest
        return Update(values=values, weight=update.weight, kinds=update.kinds), residuals or None

    def _is_packable(self, update: Update, name: str) -> bool:
        value = update.values[name]
        floating = isinstance(value, np.ndarray) and value.dtype.kind == "f"
        summed = update.kind(name) is Leaf.SUM and not name.startswith(BUFFER)
        return floating and summed and self.packs(value.size)

    def decode(self, update: Update, state: None, ctx: Ctx) -> tuple[Update, None]:
        """Unpack leaves that are still packed: a sum of several is dense already."""
        values = {k: v.dense() if isinstance(v, Packed) else v for k, v in update.values.items()}
        return Update(values=values, weight=update.weight, kinds=update.kinds), None


def _not_finite(name: str, ctx: Ctx) -> DataError:
    return DataError(
        f"the update holds NaN or infinity in {name!r}",
        node=ctx.node or None,
        step=f"round {ctx.round}",
        cure="Lower the learning rate or clip gradients; a codec cannot pack it.",
    )

"""Quantize: 8 or 4 bits a value, with one scale for each block of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from talkoot.core.errors import PlanError
from talkoot.guards.codec import Codec
from talkoot.guards.packed import TILE, Blocks

_MIN_SCALE = float(np.finfo(np.float32).tiny)  # smaller scales are subnormal and would not be exact


def to_blocks(
    values: np.ndarray, carry: np.ndarray | None = None, *, bits: int = 8, block: int = 128
) -> tuple[Blocks, np.ndarray]:
    """Round values + carry to the nearest multiples of each block's scale: greatest magnitude / levels.

    Where a value is NaN or infinite, so is its block's scale.

    Args:
        values: floating, of any shape.
        carry: float32 in the same shape, or None for nothing.
        bits: of a code; 8 has 127 levels on each side of zero, 4 has 7.
        block: values a scale.

    Returns:
        The blocks, and the residual: float32 in the shape of `values`, at most half a scale each.

    >>> blocks, residual = to_blocks(np.array([1.0, -0.5, 0.3]), bits=4, block=2)
    >>> blocks.dense().tolist(), residual.tolist()
    ([1.0, -0.4285..., 0.3000...], [0.0, -0.0714..., 0.0])
    """
    rows = _rows(values, block)
    carried = None if carry is None else _rows(carry, block)
    codes = np.empty((len(rows), block * bits // 8), np.int8)
    scales = np.empty(len(rows), np.float32)
    residual = np.empty(rows.shape, np.float32)
    tile = max(1, TILE // block)
    spare = np.empty((min(tile, len(rows)), block), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, len(rows), tile):
            part = slice(first, first + tile)
            left = residual[part]
            if carried is None:
                left[...] = rows[part]
            else:
                np.add(rows[part], carried[part], out=left, casting="same_kind")
            _round(left, codes[part], scales[part], spare[: len(left)], bits)
    blocks = Blocks(codes=codes, scales=scales, shape=values.shape, bits=bits)
    return blocks, residual.reshape(-1)[: values.size].reshape(values.shape)


def _rows(values: np.ndarray, block: int) -> np.ndarray:
    """Values as (blocks, block), the last block padded with zeros."""
    if values.size % block:
        padded = np.zeros(-(-values.size // block) * block, values.dtype)
        padded[: values.size] = values.reshape(-1)
        values = padded
    return values.reshape(-1, block)


def _round(left: np.ndarray, codes: np.ndarray, scales: np.ndarray, spare: np.ndarray, bits: int) -> None:
    """Write the codes and scales of the blocks in `left`, and leave the residual there."""
    levels = np.float32((1 << bits - 1) - 1)
    np.abs(left, out=spare)
    np.divide(spare.max(axis=1), levels, out=scales)
    scales[scales < _MIN_SCALE] = 0
    per = np.divide(np.float32(1), scales, out=np.zeros_like(scales), where=scales != 0)
    np.multiply(left, per[:, None], out=spare)
    np.rint(spare, out=spare)
    if bits == 8:
        codes[...] = spare
    else:
        low, high = np.split(spare.astype(np.int8), 2, axis=1)
        np.bitwise_or(low & 15, high << 4, out=codes)
    spare *= scales[:, None]
    left -= spare


def sum_blocks(parts: Sequence[Blocks]) -> Blocks:
    """The sum of parts of one shape, rounded again to blocks of 8 bits.

    The middle step of a quantised reduce-scatter: each node sums its slice of all nodes' blocks
    (`Blocks.split`) and sends the packed sum to all (`Blocks.join`). No node carries the error of this
    rounding, up to half a scale, so it always uses 8 bits.

    >>> one, _ = to_blocks(np.array([1.0, -127.0]), block=2)
    >>> sum_blocks([one, one, one]).dense().tolist()
    [3.0, -381.0]
    """
    total = parts[0].dense()
    for part in parts[1:]:
        part.add_to(total)
    return to_blocks(total, block=parts[0].block)[0]


@final
@dataclass(frozen=True, slots=True)
class Quantize(Codec):
    """Round leaves to a few bits a value; see `quantize`.

    An encoded update equals the node's update to half a scale, so robust merges may read it.
    """

    bits: int = 8
    block: int = 128
    feedback: bool = True

    def __post_init__(self) -> None:
        if self.bits not in (8, 4):
            raise PlanError(f"quantize(bits={self.bits}) is unknown", cure="Take 8 or 4 bits.")
        if self.block < 2 or self.block % 2:
            raise PlanError(
                f"quantize(block={self.block}) is not a positive even number", cure="Take 64 to 256."
            )

    def packs(self, size: int) -> bool:
        """Whether there is a whole block. The weight of a mean, one number, is never rounded."""
        return size >= self.block

    def compress(self, values: np.ndarray, carry: np.ndarray | None) -> tuple[Blocks, np.ndarray]:
        """Round to blocks."""
        return to_blocks(values, carry, bits=self.bits, block=self.block)


def quantize(bits: int = 8, block: int = 128, feedback: bool = True) -> Quantize:
    """Send updates in 8 or 4 bits a value: about 4 or 8 times fewer bytes than float32.

    Each block of neighbouring values has one float32 scale, its greatest magnitude over 127 (8 bits) or 7
    (4 bits); values are sent as the nearest whole multiples of it. Rounding is biased in one round; with
    feedback a node adds the rounding error to its next update. Leaves with less than one block of values,
    statistics (``buffer:...``) and leaves that are not summed floating numpy arrays are sent unchanged.
    Decoded leaves are float32.

    Sources: block-wise scales, Dettmers et al., arXiv:2110.02861; error feedback, Karimireddy et al.,
    arXiv:1901.09847; outer gradients of 4 bits, Streaming DiLoCo, arXiv:2501.18512 (there E3M0 floats, here
    integers).

    Args:
        bits: of a value, 8 or 4.
        block: values a scale, an even number; 64 to 256 are usual.
        feedback: add the rounding error to the node's next update. It takes a float32 array of the
            model's size at each node.

    Raises:
        PlanError: `bits` is not 8 or 4, or `block` is not a positive even number.

    >>> import numpy as np, talkoot as tk
    >>> from talkoot.core.context import Ctx
    >>> update = tk.Update(values={"w": np.linspace(-1, 1, 4096, dtype=np.float32)}, weight=1.0)
    >>> sent, residual = quantize().encode(update, None, Ctx())
    >>> sent.values["w"].nbytes
    4224
    >>> got, _ = quantize().decode(sent + sent, None, Ctx())
    >>> bool(np.abs(got.values["w"] / 2 - update.values["w"]).max() < 0.5 / 127)
    True
    """
    return Quantize(bits, block, feedback)

"""Quantize: 8 or 4 bits a value, with a scale for each block of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from talkoot.core.errors import PlanError
from talkoot.guards.codec import Codec
from talkoot.guards.packed import TILE, Blocks

_LEAST = float(np.finfo(np.float32).tiny)  # scales below it would not be exact


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
        The blocks, and what they lost: float32 in the shape of `values`, at most half a scale each.

    >>> blocks, lost = to_blocks(np.array([1.0, -0.5, 0.3]), bits=4, block=2)
    >>> blocks.dense().tolist(), lost.tolist()
    ([1.0, -0.4285..., 0.3000...], [0.0, -0.0714..., 0.0])
    """
    said = _rows(values, block)
    kept = None if carry is None else _rows(carry, block)
    codes = np.empty((len(said), block * bits // 8), np.int8)
    scales = np.empty(len(said), np.float32)
    lost = np.empty(said.shape, np.float32)
    rows = max(1, TILE // block)
    spare = np.empty((min(rows, len(said)), block), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, len(said), rows):
            part = slice(first, first + rows)
            left = lost[part]
            if kept is None:
                left[...] = said[part]
            else:
                np.add(said[part], kept[part], out=left, casting="same_kind")
            _round(left, codes[part], scales[part], spare[: len(left)], bits)
    blocks = Blocks(codes=codes, scales=scales, shape=values.shape, bits=bits)
    return blocks, lost.reshape(-1)[: values.size].reshape(values.shape)


def _rows(values: np.ndarray, block: int) -> np.ndarray:
    """Values as rows of blocks, the last one filled with zeros."""
    if values.size % block:
        padded = np.zeros(-(-values.size // block) * block, values.dtype)
        padded[: values.size] = values.reshape(-1)
        values = padded
    return values.reshape(-1, block)


def _round(left: np.ndarray, codes: np.ndarray, scales: np.ndarray, spare: np.ndarray, bits: int) -> None:
    """Codes and scales of the blocks in `left`, of which stays what is lost."""
    levels = np.float32((1 << bits - 1) - 1)
    np.abs(left, out=spare)
    np.divide(spare.max(axis=1), levels, out=scales)
    scales[scales < _LEAST] = 0
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
    """The sum of what parts of one shape stand for, rounded once more, to blocks of 8 bits.

    It is the middle of a quantised reduce-scatter: each node sums its slice of what all nodes packed
    (`Blocks.split`), and sends the sum, again packed, to all (`Blocks.join`). The loss of this rounding,
    half a scale of the sum a value, is carried by nobody, so it has 8 bits whatever the parts have.

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

    An encoded update still says what its node said, to half a scale, so robust merges may read it.
    """

    bits: int = 8
    block: int = 128
    feedback: bool = True

    def __post_init__(self) -> None:
        if self.bits not in (8, 4):
            raise PlanError(f"quantize(bits={self.bits}) is unknown", cure="Take 8 or 4 bits.")
        if self.block < 2 or self.block % 2:
            raise PlanError(
                f"quantize(block={self.block}) is no even number of values", cure="Take 64 to 256."
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
    (4 bits); values go as the nearest whole multiples of it. Rounding is biased in one round; with feedback
    a node adds what was lost to its next update, so that nothing is lost for good. Leaves with less than one
    block of values, statistics (``buffer:...``) and what is no floating numpy array that is summed go as they
    are. Decoded leaves are float32.

    Sources: block-wise scales, Dettmers et al., arXiv:2110.02861; error feedback, Karimireddy et al.,
    arXiv:1901.09847; outer gradients of 4 bits, Streaming DiLoCo, arXiv:2501.18512 (there E3M0 floats, here
    integers).

    Args:
        bits: of a value, 8 or 4.
        block: values a scale, an even number; 64 to 256 are usual.
        feedback: carry what rounding lost to the node's next update. It costs a float32 array in the
            size of the model at each node.

    Raises:
        PlanError: bits or block that cannot be.

    >>> import numpy as np, talkoot as tk
    >>> from talkoot.core.context import Ctx
    >>> said = tk.Update(values={"w": np.linspace(-1, 1, 4096, dtype=np.float32)}, weight=1.0)
    >>> sent, lost = quantize().encode(said, None, Ctx())
    >>> sent.values["w"].nbytes
    4224
    >>> got, _ = quantize().decode(sent + sent, None, Ctx())
    >>> bool(np.abs(got.values["w"] / 2 - said.values["w"]).max() < 0.5 / 127)
    True
    """
    return Quantize(bits, block, feedback)

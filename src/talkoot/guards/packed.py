"""Compressed leaves that can be added: each represents a dense array."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, ClassVar, Self, final

import numpy as np

TILE = 1 << 15  # values processed at once, so that they stay in a core's cache


class Packed(ABC):
    """A leaf that represents the float32 array `dense()` in fewer bytes.

    A sum is the sum of the dense arrays, so packed leaves add like any other (law 1). Multiplying changes the
    scales only, so a multiple stays packed.
    """

    __slots__ = ()
    __array_ufunc__: ClassVar[None] = None  # numpy then leaves `array + packed` to `__radd__`

    scales: np.ndarray  # float32; infinite or NaN where a value is
    shape: tuple[int, ...]

    @abstractmethod
    def dense(self) -> np.ndarray:
        """The array that this represents: float32, of `shape`."""

    @abstractmethod
    def add_to(self, out: np.ndarray) -> None:
        """Add the dense array to `out` in place: contiguous, floating, of `shape`."""

    @abstractmethod
    def __mul__(self, factor: float) -> Self: ...

    @abstractmethod
    def pieces(self) -> tuple[np.ndarray, ...]:
        """The arrays to send, those with wider items first."""

    @abstractmethod
    def with_pieces(self, pieces: Sequence[np.ndarray]) -> Self:
        """A leaf of the same kind and shape with other `pieces`."""

    @property
    def nbytes(self) -> int:
        """Bytes to send; equal at all nodes for leaves of one shape and codec."""
        return sum(piece.nbytes for piece in self.pieces())

    def pack(self) -> np.ndarray:
        """The raw bytes, (nbytes,) uint8, for collectives."""
        return np.concatenate([piece.reshape(-1).view(np.uint8) for piece in self.pieces()])

    def unpack(self, raw: Any) -> Self:
        """The leaf that another node packed, of this kind and shape; `raw` is viewed, not copied."""
        data, at, pieces = np.frombuffer(raw, np.uint8), 0, []
        assert data.size == self.nbytes, f"{data.size} bytes where {self.nbytes} were packed"
        for mine in self.pieces():
            pieces.append(data[at : at + mine.nbytes].view(mine.dtype).reshape(mine.shape))
            at += mine.nbytes
        return self.with_pieces(pieces)

    def __add__(self, other: Packed | np.ndarray) -> np.ndarray:
        if not isinstance(other, Packed):
            return other + self
        total = self.dense()
        other.add_to(total)
        return total

    def __radd__(self, other: np.ndarray) -> np.ndarray:
        total = np.array(other, np.result_type(other, np.float32), order="C")
        self.add_to(total)
        return total

    def __neg__(self) -> Self:
        return self * -1.0

    def __sub__(self, other: Packed | np.ndarray) -> np.ndarray:
        return self + -other

    def __rsub__(self, other: np.ndarray) -> np.ndarray:
        return other + -self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a packed leaf is an array only once it is unpacked, which copies")
        return self.dense().astype(dtype or np.float32, copy=False)


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Blocks(Packed):
    """Small integers with one scale for each block of neighbouring values; a value is code * scale.

    >>> leaf = Blocks(codes=np.array([[2, -4]], np.int8), scales=np.float32([0.5]), shape=(2,), bits=8)
    >>> (leaf + leaf).tolist(), (leaf * 3).dense().tolist(), leaf.nbytes
    ([2.0, -4.0], [3.0, -6.0], 6)
    """

    # (blocks, bytes a block) int8. With 4 bits a byte holds two codes: in its low half one of the block's
    # first half, in its high half the one of the second half at the same place
    codes: np.ndarray
    scales: np.ndarray  # (blocks,) float32
    shape: tuple[int, ...]  # of the dense array; the last block is padded with zeros
    bits: int  # of a code, 8 or 4

    @property
    def block(self) -> int:
        """Values a block."""
        return int(self.codes.shape[1]) * 8 // self.bits

    def dense(self) -> np.ndarray:
        """Every code times its block's scale."""
        out = np.empty(prod(self.shape), np.float32)
        for part, values in self._tiles():
            out[part] = values
        return out.reshape(self.shape)

    def add_to(self, out: np.ndarray) -> None:
        """Add every code times its block's scale."""
        assert out.shape == self.shape
        assert out.flags.c_contiguous
        flat = out.reshape(-1)
        for part, values in self._tiles():
            flat[part] += values

    def _tiles(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Dense values a few blocks at a time, with their slice; the memory is reused for each."""
        block, size, half = self.block, prod(self.shape), self.codes.shape[1]
        rows = max(1, TILE // block)
        spare = np.empty((min(rows, len(self.codes)), block), np.float32)
        for first in range(0, len(self.codes), rows):
            codes, scales = self.codes[first : first + rows], self.scales[first : first + rows]
            tile = spare[: len(codes)]
            if self.bits == 8:
                tile[...] = codes
            else:
                tile[:, :half] = codes << 4 >> 4
                tile[:, half:] = codes >> 4
            tile *= scales[:, None]
            part = slice(first * block, min((first + len(codes)) * block, size))
            yield part, tile.reshape(-1)[: part.stop - part.start]

    def __mul__(self, factor: float) -> Blocks:
        return self.with_pieces((self.scales * np.float32(factor), self.codes))

    def pieces(self) -> tuple[np.ndarray, ...]:
        """Scales, codes."""
        return self.scales, self.codes

    def with_pieces(self, pieces: Sequence[np.ndarray]) -> Blocks:
        """The same with other scales and codes."""
        scales, codes = pieces
        return Blocks(codes=codes, scales=scales, shape=self.shape, bits=self.bits)

    def split(self, count: int) -> list[Blocks]:
        """`count` flat parts of whole blocks, as equal as possible; the last ones may be empty."""
        size, ends = prod(self.shape), [0]
        for codes in np.array_split(self.codes, count):
            ends.append(ends[-1] + len(codes))
        return [
            Blocks(
                codes=self.codes[a:b],
                scales=self.scales[a:b],
                shape=(min(b * self.block, size) - min(a * self.block, size),),
                bits=self.bits,
            )
            for a, b in pairwise(ends)
        ]

    @staticmethod
    def join(parts: Sequence[Blocks], shape: tuple[int, ...]) -> Blocks:
        """The inverse of `split`: parts in the same order as one leaf of `shape`."""
        return Blocks(
            codes=np.concatenate([part.codes for part in parts]),
            scales=np.concatenate([part.scales for part in parts]),
            shape=shape,
            bits=parts[0].bits,
        )


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sparse(Packed):
    """Some entries of an array; all others are zero.

    >>> at, shares = np.array([1], np.int32), np.array([-0.5], np.float16)
    >>> leaf = Sparse(indices=at, values=shares, scales=np.float32([8]), shape=(3,))
    >>> leaf.dense().tolist(), leaf.nbytes
    ([0.0, -4.0, 0.0], 10)
    """

    indices: np.ndarray  # (entries,) int32, distinct positions in the flat array
    values: np.ndarray  # (entries,) float16, the entries as shares of the scale, from -1 to 1
    scales: np.ndarray  # (1,) float32, the greatest magnitude
    shape: tuple[int, ...]  # of the dense array

    def entries(self) -> np.ndarray:
        """The entries themselves, (entries,) float32."""
        return np.asarray(self.values.astype(np.float32) * self.scales)

    def dense(self) -> np.ndarray:
        """Zeros except for the entries."""
        out = np.zeros(self.shape, np.float32)
        out.reshape(-1)[self.indices] = self.entries()
        return out

    def add_to(self, out: np.ndarray) -> None:
        """Add the entries at their positions."""
        assert out.shape == self.shape
        assert out.flags.c_contiguous
        out.reshape(-1)[self.indices] += self.entries()

    def __mul__(self, factor: float) -> Sparse:
        return self.with_pieces((self.scales * np.float32(factor), self.indices, self.values))

    def pieces(self) -> tuple[np.ndarray, ...]:
        """Scale, indices, values."""
        return self.scales, self.indices, self.values

    def with_pieces(self, pieces: Sequence[np.ndarray]) -> Sparse:
        """The same with another scale, other indices and values."""
        scales, indices, values = pieces
        return Sparse(indices=indices, values=values, scales=scales, shape=self.shape)

"""Fixed point: sums of whole numbers, which are exact, do not depend on order and may stand under masks."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError, PlanError, TalkootError
from talkoot.core.transform import Chain, Stage, Transform
from talkoot.core.update import BOUNDED, MODULAR, Leaf, Update
from talkoot.guards import limbs
from talkoot.guards.ring import Ring

WEIGHT = "fixed.weight"  # the leaf that the update's weight becomes
_TORCH = "torch."
_ROOM = 2**62  # what bounded whole numbers add up to at most


class FixedPoint(Transform):
    """Turns every SUM leaf, and the update's weight, into a `Ring`; other leaves are sent unchanged."""

    stage: ClassVar[Stage] = Stage.FIXED

    @abstractmethod
    def narrow(self, values: np.ndarray, ctx: Ctx) -> tuple[np.ndarray, int] | None:
        """(words, bits behind the point) of floats in one machine word; None to take the wide format.

        Raises:
            DataError: a value is beyond the limit.
        """

    def encode(self, update: Update, state: None, ctx: Ctx) -> tuple[Update, None]:
        """Each sum as whole numbers.

        Raises:
            DataError: a leaf has numbers that are missing, infinite or beyond the range, or no numbers.
        """
        if not update.values and not update.weight:
            return update, None
        values = dict(update.values)
        for name, value in (*update.values.items(), (WEIGHT, np.array([update.weight]))):
            if update.kind(name) is Leaf.SUM:
                try:
                    values[name] = self._ring(name, value, ctx)
                except TalkootError as error:
                    raise _at_leaf(error, name, ctx) from error
        return Update(values=values, kinds=update.kinds), None

    def decode(self, update: Update, state: None, ctx: Ctx) -> tuple[Update, None]:
        """The sums in their own dtype and shape.

        Raises:
            DataError: a sum is beyond the range of its dtype.
        """
        values = dict[str, Any]()
        for name, value in update.values.items():
            try:
                values[name] = array_of(value) if isinstance(value, Ring) else value
            except TalkootError as error:
                raise _at_leaf(error, name, ctx) from error
        weight = float(values.pop(WEIGHT)[0]) if WEIGHT in values else update.weight
        return Update(values=values, weight=weight, kinds=update.kinds), None

    def _ring(self, name: str, value: Any, ctx: Ctx) -> Ring:
        array, dtype = _plain(value)
        flat = array.reshape(-1)
        if array.dtype.kind in "iub":
            whole = flat.astype(np.uint64 if array.dtype.kind == "u" else np.int64, copy=False)
            words = _words(name, whole, len(ctx.cohort))
            return Ring(words=words, shape=array.shape, dtype=dtype, fraction=0)
        floats = flat.astype(np.float64, copy=False)
        greatest = _greatest(floats)
        if not math.isfinite(greatest):
            raise DataError("it holds NaN or infinity", cure="Clean the data, or lower the learning rate.")
        if (packed := self.narrow(floats, ctx)) is not None:
            return Ring(words=packed[0], shape=array.shape, dtype=dtype, fraction=packed[1])
        _require_range(floats, greatest)
        words = limbs.from_floats(floats)
        return Ring(words=words, shape=array.shape, dtype=dtype, fraction=limbs.FRACTION)


def _words(name: str, values: np.ndarray, nodes: int) -> np.ndarray:
    """(limbs, n) words of int64 or uint64: two limbs, or one where the leaf's name says that it is enough."""
    if name.startswith(BOUNDED):
        _require_bound(values, _ROOM // max(nodes, 1))
    elif not (name.startswith(MODULAR) and values.dtype.kind == "i"):
        return limbs.from_integers(values)
    return np.ascontiguousarray(values).view(np.uint64)[None]


def _require_bound(values: np.ndarray, limit: int) -> None:
    """Refuse whole numbers of which the sum of all nodes might not fit, with a bit to spare."""
    greatest = max(int(values.max(initial=0)), -int(values.min(initial=0)))
    if greatest > limit:
        raise DataError(
            f"{greatest} is beyond {limit}, which is 2**62 divided by the number of nodes",
            cure=f"Leave {BOUNDED!r} out of its name.",
        )


def _greatest(values: np.ndarray) -> float:
    """The greatest magnitude, without another array of that size; NaN where a value is."""
    return float(np.maximum(values.max(initial=0.0), -values.min(initial=0.0)))


def _require_range(values: np.ndarray, greatest: float) -> None:
    """Refuse what is too large, and numbers that are all so small that rounding would change them much."""
    if greatest >= limbs.RANGE:
        cause = f"{greatest:.3g} is beyond {limbs.RANGE:.3g}, the range of fixed()"
        raise DataError(cause, cure="Scale the columns.")
    if 0 < greatest < limbs.COARSE and not limbs.is_whole(values):
        cause = f"{greatest:.3g} is its greatest number, and fixed() rounds to multiples of 1.3e-29"
        raise DataError(cause, cure="Scale the columns.")


def _plain(value: Any) -> tuple[np.ndarray, str]:
    """A leaf as an array of numbers, and the name of its dtype."""
    if isinstance(value, np.ndarray) and (value.dtype.kind in "iub" or _is_float(value.dtype)):
        return value, value.dtype.name
    if hasattr(value, "detach"):  # a tensor
        plain = value.detach().cpu()
        return (plain.double() if plain.is_floating_point() else plain).numpy(), str(value.dtype)
    kind = f"{value.dtype} numbers" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
    raise DataError(
        f"{kind} cannot become whole numbers", cure="Send arrays of floats, whole numbers or booleans."
    )


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" and dtype.itemsize <= 8


def array_of(leaf: Ring) -> Any:
    """The array or tensor that a leaf stands for.

    Raises:
        DataError: it is beyond the range of its dtype.
    """
    name = leaf.dtype.removeprefix(_TORCH)
    known = name if name != "bfloat16" else "float32"  # numpy has none
    array = _numbers(leaf, np.dtype(known)).reshape(leaf.shape)
    if name == leaf.dtype:
        return array
    import torch

    return torch.from_numpy(array).to(getattr(torch, name))


def _numbers(leaf: Ring, dtype: np.dtype[Any]) -> np.ndarray:
    if dtype.kind in "iub":
        values, fits = limbs.to_integers(leaf.words, signed=dtype.kind != "u")
        if dtype.kind == "b":
            return np.asarray(values != 0)
        fits = fits & (values == values.astype(dtype))
        if not fits.all():
            raise DataError(f"the sum is beyond the range of {dtype.name}", cure="Send wider numbers.")
        return np.asarray(values, dtype)
    if len(leaf.words) == 1:
        signed = np.dtype(f"i{leaf.words.itemsize}")
        wide = leaf.words[0].view(signed) * 2.0**-leaf.fraction
    else:
        wide = limbs.to_floats(leaf.words, leaf.fraction)
    with np.errstate(over="ignore"):
        values = np.asarray(wide, dtype)
    if not np.isfinite(values).all():
        raise DataError(f"the sum is beyond the range of {dtype.name}", cure="Send wider numbers.")
    return values


def _at_leaf(error: TalkootError, name: str, ctx: Ctx) -> DataError:
    place = "the update's weight" if name == WEIGHT else f"leaf {name!r}"
    cause = f"{place} cannot stand in fixed point: {error.cause}"
    return DataError(cause, node=ctx.node or None, step=f"round {ctx.round}", cure=error.cure)


@final
@dataclass(frozen=True, slots=True)
class WideFixed(FixedPoint):
    """256 bits a float; see `fixed`."""

    bias: ClassVar[Literal["exact", "unbiased", "biased"]] = "exact"

    def narrow(self, values: np.ndarray, ctx: Ctx) -> None:
        """Never."""
        del values, ctx


@final
@dataclass(frozen=True, slots=True)
class NarrowFixed(FixedPoint):
    """64 or 32 bits a float; see `fixed`."""

    bits: int  # of a float
    limit: float
    bias: ClassVar[Literal["exact", "unbiased", "biased"]] = "biased"

    def __post_init__(self) -> None:
        if self.bits not in (32, 64):
            raise PlanError(f"fixed(bits={self.bits}) is unknown", cure="Take 256, 64 or 32 bits.")
        if not (math.isfinite(self.limit) and self.limit > 0):
            raise PlanError(f"fixed(limit={self.limit}) is no limit", cure="Take a positive number.")
        if self.fraction(2) < 1:
            raise PlanError(
                f"{self.bits} bits have no room behind the point for numbers up to {self.limit:g}",
                cure="Take more bits, or a lower limit.",
            )

    def fraction(self, nodes: int) -> int:
        """Bits behind the point, so that the sum of all nodes fits with a bit to spare."""
        return self.bits - 2 - math.ceil(math.log2(self.limit * max(nodes, 1)))

    def narrow(self, values: np.ndarray, ctx: Ctx) -> tuple[np.ndarray, int] | None:
        """Words of one limb; a single number, such as the weight of a mean, stays wide and exact."""
        if values.size <= 1:
            return None
        if (greatest := _greatest(values)) > self.limit:
            raise DataError(
                f"{greatest:.4g} is beyond limit={self.limit:g}",
                cure="Raise the limit of fixed(...); it holds for values times the weight of the node.",
            )
        fraction = self.fraction(len(ctx.cohort))
        if fraction < 1:
            raise DataError(
                f"{self.bits} bits have no room for the sum of {len(ctx.cohort)} nodes up to {self.limit:g}",
                cure="Take more bits, or a lower limit.",
            )
        whole = np.rint(values * 2.0**fraction).astype(np.dtype(f"i{self.bits // 8}"))
        return whole.view(np.dtype(f"u{self.bits // 8}"))[None], fraction


def fixed(bits: int = 256, limit: float | None = None) -> FixedPoint:
    """Add whole numbers instead of floats: sums are exact, in any order, and may stand under `mask`.

    By default a float has 256 bits, 96 of them behind the point: it is rounded to a multiple of 2**-96, and
    the sum of all nodes is rounded once. Numbers from 2**127 on, NaN and infinity are refused with the
    leaf's name. Scale columns of which squares are small against 2**-96 = 1.3e-29, such as those with values
    about 1e-12. For updates that are averaged, such as those of `tk.Torch`, 64 or 32 bits behind a limit are
    faster and shorter: floats are rounded to the bits that are left, and single numbers, such as the weight
    of a mean, stay wide.

    Leaves of whole numbers and booleans have 128 bits a number, so no sum of them wraps around; one that is
    beyond the range of their dtype is refused. Where the name of a leaf begins with ``"bounded:"``, as those
    of the histograms of boosted trees do, they have 64 bits: a node that has a number beyond 2**62 divided by
    the number of nodes is refused with the leaf's name. Leaves of int64 whose name begins with ``"modular:"``
    are added modulo 2**64.

    Args:
        bits: of a float: 256, 64 or 32.
        limit: with 64 or 32 bits: the greatest magnitude of a value that a node may send, after `weigh`.

    Raises:
        PlanError: another number of bits, or a limit that is missing or has no meaning.

    >>> import numpy as np, talkoot as tk
    >>> from sklearn.linear_model import Ridge
    >>> X = np.random.default_rng(0).normal(size=(30, 2))
    >>> one = tk.fit(Ridge(), X, X @ [1.0, 2.0], nodes=2, chain=[tk.fixed()]).model
    >>> np.testing.assert_allclose(one.coef_, Ridge().fit(X, X @ [1.0, 2.0]).coef_)
    >>> tk.fixed(bits=64, limit=100.0)
    NarrowFixed(bits=64, limit=100.0)
    """
    if bits == 256:
        if limit is not None:
            raise PlanError(f"256 bits need no limit={limit}", cure="Leave limit= out.")
        return WideFixed()
    if limit is None:
        raise PlanError(f"fixed(bits={bits}) needs a limit", cure="Write fixed(bits=64, limit=100.0), say.")
    return NarrowFixed(bits, float(limit))


def chain_of_sums(chain: Chain) -> tuple[Transform, ...]:
    """What exact sums go through under a plan's chain: fixed point and masks, where it has them."""
    masks = [link for link in chain if link.stage is Stage.MASK]
    return (fixed(), *masks) if any(link.stage is Stage.FIXED for link in chain) else ()

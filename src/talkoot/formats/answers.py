"""What a node answers, as data: its update, still encoded by the plan's chain, or its error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from talkoot.core import errors
from talkoot.core.errors import DataError, NodeFailed, PlanError, TalkootError
from talkoot.core.update import Leaf, Update
from talkoot.formats import tensors
from talkoot.formats.frames import from_bytes, to_pieces
from talkoot.formats.names import by_name
from talkoot.formats.values import Decoder, Encoder
from talkoot.guards.mask.leaf import Masked
from talkoot.guards.packed import Blocks, Packed, Sparse
from talkoot.guards.ring import Ring

VERSION = 1
TYPES = by_name((Blocks, Sparse, Ring, Masked))
ERRORS = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, TalkootError)
}
PLACE = ("node", "step", "column", "cure")


def answer_to_bytes(answer: Update | TalkootError) -> bytes:
    """An update or an error as one frame.

    Raises:
        PlanError: a leaf cannot travel; it is named.

    >>> answer_from_bytes(answer_to_bytes(Update(values={"n": np.array([2.0])}, weight=2.0))).values
    {'n': array([2.])}
    >>> answer_from_bytes(answer_to_bytes(DataError("no rows", node="oslo")))
    DataError("node 'oslo': no rows")
    """
    return b"".join(answer_to_pieces(answer))


def answer_to_pieces(answer: Update | TalkootError) -> list[memoryview]:
    """What `answer_to_bytes` makes in pieces, which are views of the update's arrays.

    Raises:
        PlanError: a leaf cannot travel; it is named.
    """
    encoder = Encoder(types=TYPES, other=tensors.encode)
    if isinstance(answer, TalkootError):
        kind = type(answer) if type(answer) in ERRORS.values() else NodeFailed
        place = {name: getattr(answer, name) for name in PLACE}
        return to_pieces({"version": VERSION, "error": kind.__name__, "cause": answer.cause, **place})
    values = {name: _encoded(name, value, encoder) for name, value in answer.values.items()}
    kinds = {name: kind.value for name, kind in answer.kinds.items()}
    data = {"version": VERSION, "values": values, "weight": float(answer.weight), "kinds": kinds}
    return to_pieces(data, [[buffer] for buffer in encoder.buffers])


def answer_from_bytes(
    frame: Any, *, like: Mapping[str, Any] | None = None, finite: bool = False
) -> Update | TalkootError:
    """The update or the error of a frame.

    Args:
        frame: what `answer_to_bytes` made.
        like: leaves by name; those of the same name must have the same shape, unless they merge by union. So
            what another node, or the model, has bounds the memory that a sum takes.
        finite: refuse infinite and missing numbers in sums. Not all learners can do without: the search of
            a solver may try a point where the loss is infinite.

    Raises:
        DataError: it is damaged, or no answer of a node.
    """
    data, buffers = from_bytes(frame)
    match data:
        case {"version": 1, "error": str() as kind, "cause": str() as cause} if kind in ERRORS:
            return ERRORS[kind](cause, **{name: _text(data.get(name)) for name in PLACE})
        case {
            "version": 1,
            "values": dict() as encoded,
            "weight": float() as weight,
            "kinds": dict() as named,
        }:
            decoder = Decoder(buffers, types=TYPES, others={"tensor": tensors.decode})
            values = {name: decoder.decode(value) for name, value in encoded.items()}
            update = Update(values=values, weight=weight, kinds=_kinds(named))
        case _:
            raise DataError(f"this is no answer of a node, or not of version {VERSION}")
    if not (math.isfinite(weight) and weight >= 0):
        raise DataError(f"an update cannot have the weight {weight}")
    for name, value in values.items():
        _require_leaf(name, value)
        if like is not None and name in like and update.kind(name) is not Leaf.UNION:
            ours, theirs = tuple(like[name].shape), tuple(value.shape)
            if theirs != ours:
                raise DataError(f"leaf {name!r:.80} has shape {theirs}, and {ours} is right")
        if finite and update.kind(name) is Leaf.SUM and not _is_finite(value):
            raise DataError(f"leaf {name!r:.80} has numbers that are infinite or missing")
    return update


def _encoded(name: str, value: Any, encoder: Encoder) -> Any:
    try:
        return encoder.encode(value)
    except PlanError as error:
        raise PlanError(f"leaf {name!r}: {error.cause}", cure="Send numbers, text or tensors.") from None


def _kinds(named: Mapping[str, Any]) -> dict[str, Leaf]:
    try:
        return {name: Leaf(kind) for name, kind in named.items()}
    except ValueError as error:
        raise DataError(f"an update has leaves of unknown kinds: {error}") from None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _require_leaf(name: str, value: Any) -> None:
    """Refuse what is no array, and packed arrays whose pieces do not fit together."""
    if isinstance(value, Packed):
        fits = _is_sound(value)
    elif isinstance(value, Ring | Masked):
        fits = value.is_sound
    else:
        fits = isinstance(value, np.ndarray) or tensors.is_tensor(value)
    if not fits:
        raise DataError(f"leaf {name!r:.80} is no array, or its pieces do not fit together")


def _is_sound(leaf: Packed) -> bool:
    shape: Any = leaf.shape
    whole = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not whole or not all(isinstance(piece, np.ndarray) for piece in leaf.pieces()):
        return False
    size = math.prod(shape)
    pieces = [(piece.dtype.name, piece.ndim) for piece in leaf.pieces()]
    if isinstance(leaf, Blocks):
        return (
            pieces == [("float32", 1), ("int8", 2)]
            and leaf.bits in (4, 8)
            and leaf.block > 0
            and len(leaf.codes) == len(leaf.scales) == -(-size // leaf.block)
        )
    assert isinstance(leaf, Sparse)
    return (
        pieces == [("float32", 1), ("int32", 1), ("float16", 1)]
        and len(leaf.scales) == 1
        and len(leaf.indices) == len(leaf.values)
        and bool(((leaf.indices >= 0) & (leaf.indices < size)).all())
        and bool((np.diff(leaf.indices) > 0).all())
    )


def _is_finite(value: Any) -> bool:
    if isinstance(value, Packed):
        return bool(np.isfinite(value.scales).all())
    if isinstance(value, Ring | Masked):
        return True
    if isinstance(value, np.ndarray):
        return value.dtype.kind not in "fc" or bool(np.isfinite(value).all())
    return bool(value.isfinite().all())

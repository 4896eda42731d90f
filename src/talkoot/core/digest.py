"""A digest of a value by its content: the same in every process, and after it has travelled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from types import FunctionType
from typing import Any

import numpy as np

from talkoot.core.errors import PlanError

Feed = Any  # a hash object of hashlib
_NUMERIC = "biufc"


def digest(value: Any) -> str:
    """64 hexadecimal digits that name the content of a value: SHA-256.

    Objects count by the name of their class and what they are made of, functions by their name.

    Raises:
        PlanError: a part of it can be told from others by nothing, such as a lock.

    >>> digest({"a": np.arange(3), "b": (1, None)}) == digest({"a": np.arange(3), "b": (1, None)})
    True
    >>> digest([1.0]) == digest([1]) or digest(np.zeros(2)) == digest(np.zeros((2, 1)))
    False
    """
    state = hashlib.sha256()
    _feed(state, value)
    return state.hexdigest()


def _feed(state: Feed, value: Any) -> None:
    match value:
        case str():
            _mark(state, "text", str.__str__(value).encode())
        case bytes() | bytearray() | memoryview():
            _mark(state, "bytes", bytes(value))
        case np.ndarray() | np.generic():
            _array(state, np.asarray(value), scalar=isinstance(value, np.generic))
        case None | bool() | int() | float() | complex():
            _mark(state, type(value).__name__, repr(value).encode())
        case Mapping():
            _items(state, "mapping", [part for pair in value.items() for part in pair])
        case list() | tuple():
            _items(state, type(value).__name__, value)
        case set() | frozenset():
            _items(state, "set", sorted(map(digest, value)))
        case np.dtype():
            _mark(state, "dtype", value.str.encode())
        case np.ufunc():
            package = "numpy" if getattr(np, value.__name__, None) is value else "other"
            _mark(state, "ufunc", f"{package}.{value.__name__}".encode())
        case type() | FunctionType():
            _mark(state, "name", _name(value).encode())
        case _:
            _object(state, value)


def _mark(state: Feed, kind: str, data: bytes) -> None:
    """Feed a kind and data, with lengths, so that no two values give the same bytes."""
    state.update(f"{kind}:{len(data)}:".encode())
    state.update(data)


def _items(state: Feed, kind: str, items: Iterable[Any]) -> None:
    items = list(items)
    _mark(state, kind, str(len(items)).encode())
    for item in items:
        _feed(state, item)


def _array(state: Feed, array: np.ndarray, *, scalar: bool) -> None:
    kind = "scalar" if scalar else "array"
    if array.dtype.kind not in _NUMERIC:
        _mark(state, kind, repr((array.dtype.kind, array.shape)).encode())
        _items(state, "items", array.ravel().tolist())
        return
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    _mark(state, kind, repr((plain.dtype.str, array.shape)).encode())
    state.update(plain.reshape(-1).view(np.uint8).data)


def _object(state: Feed, value: Any) -> None:
    """Feed a dataclass by its fields, a tensor by its numbers, anything else as it would be copied."""
    _mark(state, "object", _name(type(value)).encode())
    if is_dataclass(value):
        _items(state, "fields", [(f.name, getattr(value, f.name)) for f in fields(value) if f.init])
    elif hasattr(value, "detach"):
        plain = value.detach().cpu()
        _feed(state, (str(value.dtype), (plain.double() if plain.is_floating_point() else plain).numpy()))
    else:
        _items(state, "parts", _parts(_reduced(value)))


def _reduced(value: Any) -> Any:
    try:
        return value.__reduce_ex__(4)
    except TypeError:
        raise PlanError(
            f"a {_name(type(value))} has no content that can be compared between nodes",
            cure="Leave it out of the estimator, or leave out mask().",
        ) from None


def _parts(reduced: Any) -> list[Any]:
    """What `copy` would make an object of: a callable, arguments, a state, and items in a row."""
    if isinstance(reduced, str):
        return [reduced]
    first, items = reduced[:3], reduced[3:]
    return [*first, *(list(part) if part is not None else None for part in items[:2])]


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"

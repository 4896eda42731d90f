"""Values as plain data and buffers, and back: numbers, text, arrays, and types of an allow-list.

What msgpack cannot say by itself is a dict with the key ``"$"``: ``{"$": "tuple", "items": [...]}``. Arrays
are buffers with a dtype and a shape. Objects travel as the name of their type and its fields, and are made
again by calling the type, so what a constructor refuses is refused here too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError, PlanError, TalkootError

NUMERIC = "biuf"  # kinds of arrays that travel as they lie in memory
DIMENSIONS = 32

Types = Mapping[str, type]
Others = Mapping[str, Callable[[Mapping[str, Any], "Decoder"], Any]]


@final
@dataclass(slots=True, eq=False)
class Encoder:
    """Values into data."""

    types: Types = field(default_factory=dict)  # dataclasses that may travel, by name
    # called for a value of any other type; returns data, or None if it does not know it either
    other: Callable[[Any, Encoder], Any] | None = None
    buffers: list[memoryview] = field(default_factory=list)  # what arrays leave behind, in order

    def encode(self, value: Any) -> Any:
        """Data that msgpack can hold.

        Raises:
            PlanError: something in it is of no type that may travel.
        """
        match value:
            case np.generic() if value.dtype.kind in NUMERIC:
                return {"$": "scalar", "array": self._array(np.asarray(value))}
            case None | bool():
                return value
            case float():
                return float(value)
            case str():  # msgpack takes no subclasses, such as numpy's text
                return str.__str__(value)
            case bytes():
                return bytes(value)
            case int():
                small = -(1 << 63) <= value < 1 << 63
                return int(value) if small else {"$": "int", "text": str(int(value))}
            case list():
                return [self.encode(item) for item in value]
            case tuple():
                return {"$": "tuple", "items": [self.encode(item) for item in value]}
            case np.dtype():
                return {"$": "dtype", "name": value.str}
            case np.ndarray():
                return self._array(value)
            case slice():
                return {
                    "$": "slice",
                    "items": [self.encode(x) for x in (value.start, value.stop, value.step)],
                }
            case dict():
                return self._mapping(value)
        return self._object(value)

    def _array(self, value: np.ndarray) -> Any:
        if value.dtype.kind in NUMERIC:
            plain = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
            self.buffers.append(plain.reshape(-1).view(np.uint8).data)
            number = len(self.buffers) - 1
            return {"$": "array", "buffer": number, "dtype": plain.dtype.str, "shape": list(value.shape)}
        if value.dtype.kind in "OU":
            items = [self.encode(item) for item in value.ravel().tolist()]
            text = value.dtype.kind == "U"
            return {"$": "objects", "items": items, "shape": list(value.shape), "text": text}
        return self._object(value)

    def _mapping(self, value: Mapping[Any, Any]) -> Any:
        if all(isinstance(key, str) and key != "$" for key in value):
            return {self.encode(key): self.encode(item) for key, item in value.items()}
        return {"$": "dict", "items": [[self.encode(key), self.encode(item)] for key, item in value.items()]}

    def _object(self, value: Any) -> Any:
        name = next((name for name, kind in self.types.items() if kind is type(value)), "")
        if name and is_dataclass(value):
            shown = {f.name: self.encode(getattr(value, f.name)) for f in fields(value) if f.init}
            return {"$": "type", "name": name, "fields": shown}
        if isinstance(value, Mapping):
            return self._mapping(value)
        if self.other is not None and (data := self.other(value, self)) is not None:
            return data
        raise PlanError(
            f"a {type(value).__name__} cannot travel: {value!r:.80}",
            cure="Keep to numbers, text, arrays, estimators of scikit-learn, functions of modules, and the "
            "dataclasses that the learner lists in question_types.",
        )


@final
@dataclass(frozen=True, slots=True, eq=False)
class Decoder:
    """Data into values."""

    buffers: Sequence[memoryview] = ()  # of the frame; arrays lie in them where they can be written to
    types: Types = field(default_factory=dict)  # dataclasses that may travel, by name
    # for other names behind ``"$"``, what makes a value of the data
    others: Others = field(default_factory=dict)

    def decode(self, data: Any) -> Any:
        """The value.

        Raises:
            DataError: data that no `Encoder` makes, or types that may not travel.
            TalkootError: what the constructor of a type refuses.
        """
        if isinstance(data, list):
            return [self.decode(item) for item in data]
        if not isinstance(data, dict):
            return data
        if "$" not in data:
            return {key: self.decode(item) for key, item in data.items()}
        try:
            return self._tagged(data)
        except TalkootError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
            raise DataError(f"{data['$']!r:.40} is not as it should be: {error!r:.200}") from None

    def _tagged(self, data: Mapping[str, Any]) -> Any:
        tag = data["$"]
        if tag in self.others:
            return self.others[tag](data, self)
        match tag:
            case "tuple":
                return tuple(self.decode(item) for item in data["items"])
            case "slice":
                return slice(*map(self.decode, data["items"]))
            case "dict":
                return {self.decode(key): self.decode(item) for key, item in data["items"]}
            case "int":
                return int(data["text"])
            case "dtype":
                return _numeric(data["name"])
            case "scalar":
                return self._array(data["array"])[()]
            case "array":
                return self._array(data)
            case "objects":
                return self._objects(data)
            case "type":
                return self._made(data)
        raise DataError(f"{tag!r:.40} is no kind of value that may travel")

    def _array(self, data: Mapping[str, Any]) -> np.ndarray:
        dtype, shape = _numeric(data["dtype"]), shape_of(data["shape"])
        number = data["buffer"]
        if not (isinstance(number, int) and 0 <= number < len(self.buffers)):
            raise DataError(f"there is no buffer {number!r:.20}")
        buffer = self.buffers[number]
        if buffer.nbytes != math.prod(shape) * dtype.itemsize:
            raise DataError(f"{buffer.nbytes} bytes are no array of {dtype} with shape {shape}")
        array = np.frombuffer(buffer, dtype=dtype).reshape(shape)
        return array if array.flags.writeable and array.flags.aligned else array.copy()

    def _objects(self, data: Mapping[str, Any]) -> np.ndarray:
        shape, items = shape_of(data["shape"]), [self.decode(item) for item in data["items"]]
        if len(items) != math.prod(shape):
            raise DataError(f"{len(items)} items have no shape {shape}")
        if data["text"]:
            return np.array(items, dtype=str).reshape(shape)
        values = np.empty(len(items), dtype=object)
        values[:] = items
        return values.reshape(shape)

    def _made(self, data: Mapping[str, Any]) -> Any:
        kind = self.types.get(data["name"])
        if kind is None:
            raise DataError(f"{data['name']!r:.80} is no type that may travel")
        return kind(**{key: self.decode(item) for key, item in data["fields"].items()})


def _numeric(name: Any) -> np.dtype[Any]:
    dtype = np.dtype(name) if isinstance(name, str) else None
    if dtype is None or dtype.kind not in NUMERIC or dtype.itemsize > 16:
        raise DataError(f"{name!r:.40} is no dtype that may travel")
    return dtype


def shape_of(shape: Any) -> tuple[int, ...]:
    """The shape that data describe."""
    whole = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
    if not whole or len(shape) > DIMENSIONS:
        raise DataError(f"{shape!r:.80} is no shape")
    return tuple(shape)

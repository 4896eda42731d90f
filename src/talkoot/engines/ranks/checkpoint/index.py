"""The index of a checkpoint, as JSON: its tensors with their file and bytes, and all other values.

A state is a tree of mappings, lists and tuples. Its tensors go to shard files; numbers and text go to the
index. Unlike a pickle, reading it runs no code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.storage import WriteResult

from talkoot.core.errors import DataError
from talkoot.engines.ranks.checkpoint.folder import from_json, to_json


def split(state: Any) -> tuple[Any, dict[str, Tensor]]:
    """A state as a tree that JSON can hold, and its tensors by the path to them.

    Raises:
        DataError: something that is neither a tensor nor a number, text, mapping, list or tuple; or two
            tensors whose paths read the same.

    >>> values, tensors = split({"module": {"w": torch.ones(2)}, "betas": (0.9, 0.999), "state": {0: 1}})
    >>> list(tensors)
    ['module/w']
    >>> join(values, tensors)
    {'module': {'w': tensor([1., 1.])}, 'betas': (0.9, 0.999), 'state': {0: 1}}
    """
    tensors: dict[str, Tensor] = {}
    return _encode(state, (), tensors), tensors


def _encode(value: Any, path: tuple[str, ...], tensors: dict[str, Tensor]) -> Any:
    match value:
        case Tensor():
            name = "/".join(path)
            if name in tensors:
                raise DataError(f"two tensors of the state are called {name!r}", cure="Rename one.")
            tensors[name] = value
            return {"tensor": name}
        case None | bool() | int() | float() | str():
            return value
        case Mapping() if all(isinstance(key, str | int | float | None) for key in value):
            return {"dict": [[key, _encode(each, (*path, str(key)), tensors)] for key, each in value.items()]}
        case list() | tuple():
            items = [_encode(each, (*path, str(i)), tensors) for i, each in enumerate(value)]
            return items if isinstance(value, list) else {"tuple": items}
    raise DataError(
        f"a checkpoint cannot hold the {type(value).__name__} at {'/'.join(path) or 'its top'!r}",
        cure="Keep tensors, numbers, text, and mappings, lists and tuples of them.",
    )


def join(values: Any, tensors: Mapping[str, Tensor], into: Any = None) -> Any:
    """The inverse of `split`; mappings and lists of `into` are filled in place."""
    match values:
        case {"tensor": name}:
            return tensors[name]
        case {"tuple": items}:
            return tuple(_joined(items, tensors, into))
        case {"dict": pairs}:
            mapping = into if isinstance(into, dict) else {}
            found = {key: join(each, tensors, mapping.get(key)) for key, each in pairs}
            mapping.clear()
            mapping.update(found)
            return mapping
        case list():
            listed = into if isinstance(into, list) else []
            listed[:] = _joined(values, tensors, into)
            return listed
    return values


def _joined(items: Sequence[Any], tensors: Mapping[str, Tensor], into: Any) -> list[Any]:
    old = list(into) if isinstance(into, list | tuple) else []
    old += [None] * (len(items) - len(old))
    return [join(each, tensors, old[i]) for i, each in enumerate(items)]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A box of one tensor and its bytes, with the attributes that DCP's reader needs."""

    offsets: Sequence[int]  # start of the box, by dimension
    sizes: Sequence[int]  # of the box, by dimension
    relative_path: str  # the shard file, within the checkpoint
    offset: int  # its first byte there
    length: int  # in bytes
    crc32: int  # of these bytes
    transform_descriptors: ClassVar[tuple[str, ...]] = ()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One tensor: its dtype by name, its shape, and its pieces."""

    dtype: str
    shape: Sequence[int]
    pieces: Sequence[Piece]

    @classmethod
    def of(cls, tensor: Tensor) -> Entry:
        """The dtype and shape of a tensor, without pieces."""
        return cls(dtype=str(tensor.dtype).removeprefix("torch."), shape=tuple(tensor.shape), pieces=())

    def fits(self, tensor: Tensor) -> bool:
        """Whether it can be read into `tensor`, bit for bit."""
        return tuple(tensor.shape) == tuple(self.shape) and tensor.dtype is self.torch_dtype

    def empty(self) -> Tensor:
        """A tensor to read into."""
        return torch.empty(tuple(self.shape), dtype=self.torch_dtype)

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype itself."""
        dtype = getattr(torch, self.dtype)
        assert isinstance(dtype, torch.dtype)
        return dtype

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What a checkpoint holds."""

    FILE: ClassVar[str] = "index.json"

    values: Any  # the state without its tensors, as `split` gives it
    tensors: Mapping[str, Entry]  # its tensors by path

    @classmethod
    def of(cls, values: Any, metadata: Metadata, results: Iterable[WriteResult]) -> Index:
        """The index of what DCP has just written."""
        places = {result.index: result.storage_data for result in results}
        return cls(
            values=values,
            tensors={
                name: Entry(
                    dtype=str(about.properties.dtype).removeprefix("torch."),
                    shape=tuple(about.size),
                    pieces=[_piece(box, places[MetadataIndex(name, box.offsets)]) for box in about.chunks],
                )
                for name, about in metadata.state_dict_metadata.items()
                if isinstance(about, TensorStorageMetadata)
            },
        )

    def metadata(self) -> Metadata:
        """The same for DCP's planner and reader."""
        return Metadata(
            state_dict_metadata={
                name: TensorStorageMetadata(
                    properties=TensorProperties(dtype=entry.torch_dtype),
                    size=torch.Size(entry.shape),
                    chunks=[
                        ChunkStorageMetadata(offsets=torch.Size(p.offsets), sizes=torch.Size(p.sizes))
                        for p in entry.pieces
                    ],
                )
                for name, entry in self.tensors.items()
            },
            storage_data={
                MetadataIndex(name, p.offsets): p
                for name, entry in self.tensors.items()
                for p in entry.pieces
            },
        )

    def fault(self, folder: Path) -> str | None:
        """A shard file that is missing or too short, in words; None if there is none."""
        ends: dict[str, int] = {}
        for entry in self.tensors.values():
            for p in entry.pieces:
                ends[p.relative_path] = max(ends.get(p.relative_path, 0), p.offset + p.length)
        for file, end in ends.items():
            try:
                size = (folder / file).stat().st_size
            except FileNotFoundError:
                return f"{folder / file} is missing"
            if size < end:
                return f"{folder / file} is cut short: {size} of {end} bytes"
        return None

    def text(self) -> str:
        """The index as JSON with a checksum."""
        return to_json(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Index:
        """The inverse of `text`.

        Raises:
            ValueError, KeyError, TypeError: it is no index, or has changed since it was written.
        """
        content = from_json(text)
        tensors = {
            name: Entry(
                dtype=entry["dtype"],
                shape=entry["shape"],
                pieces=[Piece(**piece) for piece in entry["pieces"]],
            )
            for name, entry in content["tensors"].items()
        }
        return cls(values=content["values"], tensors=tensors)


def _piece(box: ChunkStorageMetadata, stored: Any) -> Piece:
    return Piece(
        offsets=tuple(box.offsets),
        sizes=tuple(box.sizes),
        relative_path=stored.place.relative_path,
        offset=stored.place.offset,
        length=stored.place.length,
        crc32=stored.crc32,
    )

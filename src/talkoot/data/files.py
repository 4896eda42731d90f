"""Shards of files: row groups streamed in blocks, at the node that has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, final

import numpy as np
import pyarrow as pa

from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema
from talkoot.data import csvs
from talkoot.data.cache import Cache
from talkoot.data.columns import (
    EMPTY,
    NUMBER,
    TEXT,
    joint_origin,
    kind_of,
    matrix,
    number_dtype,
    numbers,
    origin_of,
    target_values,
    texts,
)
from talkoot.data.dealing import dealt, sites
from talkoot.data.paths import format_of
from talkoot.data.reading import Part, fields, read, reading
from talkoot.data.roles import Roles, node_names
from talkoot.data.source import ALIKE, Layout, Source, block_rows, wanted
from talkoot.data.tables import is_number, stray
from talkoot.data.targets import as_weights, encode, label_kind

CACHE = Cache()
WORDS = {NUMBER: "numbers", TEXT: "text"}


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FileShard(Source):
    """Rows of files. Holds paths, not rows.

    Args:
        name: the node's name.
        parts: which rows of which files.
        roles: what each column is.
        site: the value of the column ``roles.by`` that the node's rows have.
        count: number of rows, where it is known.
        schema: what the nodes agreed on; None before.
        with_target: whether blocks have targets.
    """

    name: str
    parts: tuple[Part, ...]
    roles: Roles
    site: Any = None
    count: int | None = None
    schema: Schema | None = None
    with_target: bool = True

    @property
    def rows(self) -> int | None:
        """Number of rows, where it is known without reading them."""
        return self.count

    @property
    def has_target(self) -> bool:
        """Whether the rows have a target."""
        return self.roles.target is not None

    def layout(self) -> Layout:
        """The columns of all files: same names, same kinds, in the order of the first.

        Raises:
            DataError: a file cannot be read, lacks a column, or has text where another has numbers.
        """
        found = [self._columns(part.path) for part in self.parts]
        kinds: dict[str, str] = {}
        for part, types in zip(self.parts, found, strict=True):
            _same_names(types, found[0], part.path, self.parts[0].path)
            for name, type_ in types.items():
                kinds[name] = self._joint_kind(name, kind_of(type_), kinds.get(name, EMPTY), part)
        floats = [kind for types in found for kind in types.values()]
        shown = {k: self._example(k) for k, kind in kinds.items() if kind == TEXT}
        return Layout(
            names=tuple(kinds),
            kinds=tuple(kinds.values()),
            named=True,
            dtype=number_dtype(floats),
            origins="".join(joint_origin(origin_of(types[k]) for types in found) for k in kinds),
            examples=tuple(shown.get(k, "") for k in kinds),
        )

    def _joint_kind(self, name: str, kind: str, before: str, part: Part) -> str:
        if {before, kind} == {NUMBER, TEXT}:
            here = replace(self, parts=(part,))
            shown = f" (for example {here._example(name)!r})" if kind == TEXT else ""
            raise DataError(
                f"{part.path} holds {WORDS[kind]}{shown} where the files before it hold {WORDS[before]}",
                column=name,
                cure=ALIKE,
            )
        return before if kind == EMPTY else kind

    def _columns(self, path: str) -> csvs.Types:
        """The features of a file by name, with their types."""
        types = fields(path)
        features = self.roles.features(list(types), path)
        if format_of(path) == "csv":
            types = dict(self._settled(path))
        return {name: types[name] for name in features}

    def _settled(self, path: str) -> csvs.Types:
        """The types of a CSV file's columns over all of its rows."""
        features = self.roles.features(list(fields(path)), path)
        with reading(path):
            return csvs.settled(path, features, self.roles.name("target"))

    def _example(self, column: str) -> str:
        """A text of a column: one that is no number, if there is one."""
        found = ""
        for batch in self._batches([column], 1 << 16, lambda path: {column: pa.string()}):
            found = stray(texts(batch.column(column)))
            if found and not is_number(found):
                break
        return found

    def targets(self) -> Iterator[tuple[np.ndarray | None, np.ndarray | None, int]]:
        """A batch at a time, reading no features where the format allows."""
        if not self.parts:
            return
        features = self.roles.features(list(fields(self.parts[0].path)), self.parts[0].path)
        target, weight = self.roles.name("target"), self.roles.name("weight")
        columns = [name for name in (target, weight) if name is not None] or list(features[:1])
        for batch in self._batches(columns, 1 << 16, self._settled):
            yield self._target(batch, target), self._weights(batch), len(batch)

    def _target(self, batch: Any, target: str | None) -> np.ndarray | None:
        return None if target is None else target_values(batch.column(target))

    def _weights(self, batch: Any) -> np.ndarray | None:
        weight = self.roles.name("weight")
        return None if weight is None else as_weights(target_values(batch.column(weight)))

    def bind(self, schema: Schema, *, target: bool = True) -> FileShard:
        """The same files, read as the schema says."""
        return replace(self, schema=schema, with_target=target)

    def blocks(self) -> Iterator[Block]:
        """The rows in order. Shards that are small are decoded once and kept."""
        if self.count == 0:
            return
        if self.schema is None:
            yield from self._blocks(self.layout().schema(), bound=False)
            return
        expected = (self.count or 0) * self.schema.features * self.schema.dtype.itemsize
        yield from CACHE.through(self, partial(self._blocks, self.schema, bound=True), expected)

    def _blocks(self, schema: Schema, *, bound: bool) -> Iterator[Block]:
        names = wanted(schema)
        target = self.roles.name("target") if self.with_target else None
        step = block_rows(len(names), schema.dtype.itemsize)
        extra = [name for name in (target, self.roles.name("weight")) if name is not None]
        kinds = dict(zip(names, schema.kinds, strict=True))
        if target is not None and bound:
            kinds[target] = label_kind(schema.classes)

        def types(path: str) -> csvs.Types:
            loose = {target: self._settled(path)[target]} if target is not None and not bound else {}
            with reading(path):
                return csvs.reading_types(path, kinds) | loose

        for batch in self._batches([*names, *extra], 4 * step, types):
            y = self._target(batch, target)
            y = encode(y, schema) if bound else y
            w = self._weights(batch)
            for at in range(0, len(batch), step):
                part = slice(at, at + step)
                X = _features(batch.slice(at, step), names, schema)
                yield Block(X=X, y=None if y is None else y[part], w=None if w is None else w[part])

    def _batches(
        self, columns: Sequence[str], rows: int, types: Callable[[str], csvs.Types]
    ) -> Iterator[Any]:
        """Some columns of this node's rows. `types` says as what to read a CSV file's columns."""
        by = [self.roles.by] if self.roles.by is not None else []
        fixed = dict.fromkeys(by, pa.string())
        if (weight := self.roles.name("weight")) is not None:
            fixed[weight] = pa.float64()
        for part in self.parts:
            known = {**types(part.path), **fixed} if format_of(part.path) == "csv" else {}
            for batch in read(part, [*columns, *by], rows, known):
                if len(here := self._here(batch)):
                    yield here

    def _here(self, batch: Any) -> Any:
        import pyarrow.compute as pc  # a tenth of a second that most rows do without

        if self.site is None:
            return batch
        column = batch.column(self.roles.by)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        return batch.filter(pc.equal(column, self.site))

    def split(self) -> dict[str, Source]:
        """A shard for each value of the column ``roles.by``, in sorted order; reads that column once.

        Raises:
            DataError: no such column, values are missing, or there are too many.
        """
        assert self.roles.by is not None
        for part in self.parts:
            self.roles.features(list(fields(part.path)), part.path)
        found, missing = sites(self.parts, self.roles.by)
        names = node_names(list(found), missing, self.roles.by)
        made = {
            name: replace(self, name=name, parts=here.parts(), site=value, count=here.rows)
            for name, (value, here) in zip(names, found.items(), strict=True)
        }
        return dict(sorted(made.items()))

    def deal(self, names: Sequence[str]) -> list[Source]:
        """Consecutive parts, cut between row groups where that is even enough, else between rows."""
        return [
            replace(self, name=name, parts=parts, count=count)
            for name, (parts, count) in zip(names, dealt(self.parts, len(names)), strict=True)
        ]


def _features(batch: Any, names: Sequence[str], schema: Schema) -> Any:
    columns = [batch.column(name) for name in names]
    if TEXT in schema.kinds:
        return {
            name: texts(column) if kind == TEXT else numbers(column, schema.dtype)
            for name, column, kind in zip(names, columns, schema.kinds, strict=True)
        }
    X = matrix(columns, len(batch), schema.dtype)
    if not schema.sparse:
        return X
    from scipy.sparse import csr_array

    return csr_array(X)


def _same_names(types: Mapping[str, Any], first: Mapping[str, Any], path: str, first_path: str) -> None:
    odd = [name for name in (*first, *types) if (name in first) != (name in types)]
    if odd:
        here, there = (path, first_path) if odd[0] in types else (first_path, path)
        raise DataError(
            f"{here} has this column and {there} has not",
            column=odd[0],
            cure="Rename it, or name those that all files have with columns=.",
        )

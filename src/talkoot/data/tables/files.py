"""Shards of files, read in blocks at the node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, final

import numpy as np
import pyarrow as pa

from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema
from talkoot.data.paths import format_of
from talkoot.data.roles import Roles, node_names
from talkoot.data.tables import csv_files as csvs
from talkoot.data.tables.cache import Cache
from talkoot.data.tables.columns import NUMBER, TEXT, matrix, numbers, target_values, texts
from talkoot.data.tables.file_columns import features_of, layout_of
from talkoot.data.tables.file_facts import file_facts
from talkoot.data.tables.partition import partition, sites
from talkoot.data.tables.reading import Part, read
from talkoot.data.tables.source import Layout, Source, block_rows
from talkoot.data.targets import as_query_ids, as_weights, encode, label_kind

CACHE = Cache()
AS_IT_IS = "as it is"


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FileShard(Source):
    """Rows of files. Holds paths, not rows."""

    name: str
    parts: tuple[Part, ...]  # which rows of which files
    roles: Roles
    site: Any = None  # the value of the column roles.by that the node's rows have
    count: int | None = None  # number of rows, where it is known
    schema: Schema | None = None  # the common schema of the nodes; None before round 0
    with_target: bool = True  # whether blocks have targets

    @property
    def rows(self) -> int | None:
        """Number of rows, where it is known without reading them."""
        return self.count

    @property
    def has_target(self) -> bool:
        """Whether the rows have a target."""
        return self.roles.target is not None

    def layout(self) -> Layout:
        """The common columns of all files, in the order of the first.

        Raises:
            DataError: a file cannot be read, lacks a column, or has text where another has numbers.
        """
        return layout_of(self.parts, self.roles, self.site)

    @property
    def missing(self) -> tuple[str, ...]:
        """Texts that stand for a missing value."""
        return self.parts[0].form.missing if self.parts else ()

    def targets(self) -> Iterator[tuple[np.ndarray | None, np.ndarray | None, int]]:
        """Batch by batch, without reading features where the format allows."""
        if not self.parts:
            return
        features = features_of(self.parts[0], self.roles)
        target, weight = self.roles.name("target"), self.roles.name("weight")
        columns = [name for name in (target, weight) if name is not None] or list(features[:1])
        for batch in self._batches(columns, 1 << 16, partial(_types_of, columns=columns)):
            yield self._target(batch, target), self._weights(batch), len(batch)

    def _target(self, batch: Any, target: str | None) -> np.ndarray | None:
        return None if target is None else target_values(batch.column(target), self.missing)

    def _weights(self, batch: Any) -> np.ndarray | None:
        weight = self.roles.name("weight")
        return None if weight is None else as_weights(target_values(batch.column(weight)))

    def _query_ids(self, batch: Any) -> np.ndarray | None:
        qid = self.roles.name("qid")
        return None if qid is None else as_query_ids(target_values(batch.column(qid), self.missing))

    def bind(self, schema: Schema, *, target: bool = True) -> FileShard:
        """The same files, read by the schema."""
        return replace(self, schema=schema, with_target=target)

    def blocks(self) -> Iterator[Block]:
        """The rows in order. Small shards are decoded once and cached."""
        if self.count == 0:
            return
        if self.schema is None:
            yield from self._blocks(self.layout().schema(), bound=False)
            return
        expected = (self.count or 0) * self.schema.features * self.schema.dtype.itemsize
        yield from CACHE.through(self, partial(self._blocks, self.schema, bound=True), expected)

    def _blocks(self, schema: Schema, *, bound: bool) -> Iterator[Block]:
        names = schema.labels
        target = self.roles.name("target") if self.with_target else None
        step = block_rows(len(names), schema.dtype.itemsize)
        qid = self.roles.name("qid")
        extra = [name for name in (target, self.roles.name("weight"), qid) if name is not None]
        kinds = dict(zip(names, schema.kinds, strict=True))
        if target is not None:
            kinds[target] = label_kind(schema.classes) if bound else AS_IT_IS
        if qid is not None:
            kinds[qid] = AS_IT_IS
        types = partial(_types_as, kinds=kinds, target=target)
        for batch in self._batches([*names, *extra], 4 * step, types):
            y = self._target(batch, target)
            y = encode(y, schema) if bound else y
            w, ids = self._weights(batch), self._query_ids(batch)
            for at in range(0, len(batch), step):
                part = slice(at, at + step)
                X = _features(batch.slice(at, step), names, schema, self.missing)
                yield Block(
                    X=X, **{k: v[part] for k, v in (("y", y), ("w", w), ("qid", ids)) if v is not None}
                )

    def _batches(
        self, columns: Sequence[str], rows: int, types: Callable[[Part], csvs.Types]
    ) -> Iterator[Any]:
        """Some columns of this node's rows; `types` returns the types of a CSV file's columns."""
        by = [self.roles.by] if self.roles.by is not None else []
        fixed = dict.fromkeys(by, pa.string())
        if (weight := self.roles.name("weight")) is not None:
            fixed[weight] = pa.float64()
        for part in self.parts:
            known = {**types(part), **fixed} if format_of(part.path) == "csv" else {}
            for batch in read(part, [*columns, *by], rows, known):
                if len(here := self._own_rows(batch)):
                    yield here

    def _own_rows(self, batch: Any) -> Any:
        import pyarrow.compute as pc  # a tenth of a second that most rows do without

        if self.site is None:
            return batch
        column = batch.column(self.roles.by)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        return batch.filter(pc.equal(column, self.site))

    def split(self) -> dict[str, Source]:
        """A shard for each value of the column ``roles.by``, sorted by name; reads that column once.

        Raises:
            DataError: no such column, values are missing, or there are too many.
        """
        assert self.roles.by is not None
        for part in self.parts:
            features_of(part, self.roles)
        found, missing = sites(self.parts, self.roles.by)
        names = node_names(list(found), missing, self.roles.by)
        made = {
            name: replace(self, name=name, parts=here.parts(), site=value, count=here.rows)
            for name, (value, here) in zip(names, found.items(), strict=True)
        }
        return dict(sorted(made.items()))

    def deal(self, names: Sequence[str]) -> list[Source]:
        """Consecutive parts, split between row groups where that is even enough, else between rows.

        Raises:
            DataError: rows have queries, which stay together.
        """
        if self.roles.qid is not None and len(names) > 1:
            cure = "Leave nodes= out, or name a column with by= whose values keep queries together."
            raise DataError("nodes= would cut files within queries", column=self.roles.qid, cure=cure)
        return [
            replace(self, name=name, parts=parts, count=count)
            for name, (parts, count) in zip(names, partition(self.parts, len(names)), strict=True)
        ]


def _types_of(part: Part, columns: Sequence[str]) -> csvs.Types:
    """The types of some columns of a CSV file over all of its rows."""
    return {name: facts.type for name, facts in file_facts(part, columns).items()}


def _types_as(part: Part, kinds: Mapping[str, str], target: str | None) -> csvs.Types:
    """The types to read columns of a CSV file as, for the kinds of the schema."""
    own = _types_of(part, tuple(kinds))
    types = {name: pa.string() if kind == TEXT else own[name] for name, kind in kinds.items()}
    floats = [k for k, kind in kinds.items() if kind == NUMBER and k != target and own[k] != pa.bool_()]
    return types | dict.fromkeys(floats, pa.float64())


def _features(batch: Any, names: Sequence[str], schema: Schema, missing: tuple[str, ...]) -> Any:
    columns = [batch.column(name) for name in names]
    if schema.mixed:
        return {
            name: values(column, schema, j, missing)
            for j, (name, column) in enumerate(zip(names, columns, strict=True))
        }
    X = matrix(columns, len(batch), schema.dtype, missing)
    if not schema.sparse:
        return X
    from scipy.sparse import csr_array

    return csr_array(X)


def values(column: Any, schema: Schema, j: int, missing: tuple[str, ...] = ()) -> np.ndarray:
    """An Arrow column in the form of the schema's column `j`."""
    if schema.kinds[j] == TEXT:
        return texts(column, missing)
    return numbers(column, schema.dtype_of(j), missing)

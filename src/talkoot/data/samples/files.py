"""Samples of files: row groups are decoded when one of their rows is read, and a few are cached."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any, final

import numpy as np
import pyarrow as pa

from talkoot.core.errors import DataError
from talkoot.data.loading.shuffle import groups_per_window
from talkoot.data.paths import cached_by_file, expand, files_with_folders, format_of, open_file
from talkoot.data.roles import Roles
from talkoot.data.samples.base import Samples
from talkoot.data.samples.columns import check, element, joint, to_arrays
from talkoot.data.samples.row_group_cache import RowGroupCache
from talkoot.data.tables.columns import origin_of
from talkoot.data.tables.file_facts import file_facts, left_out
from talkoot.data.tables.reading import Part, fields, groups, open_arrow, parquet, read, reading


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FileSamples(Samples):
    """Rows of Parquet, Arrow and CSV files; a CSV file is one group."""

    paths: tuple[str, ...]  # local paths or fsspec addresses
    places: tuple[tuple[int, int], ...]  # for each group the index of its path, and its index in that file
    ends: np.ndarray  # for each group the row after its last, (groups,) int64
    features: tuple[str, ...]  # number columns, which become one matrix, or a single column of lists
    target: str | None
    dtype: np.dtype[Any]  # of the matrix
    flat: bool  # whether the features are number columns
    cache: RowGroupCache  # decoded groups, shared by the nodes of one process that share a source

    @property
    def rows(self) -> int:
        """Number of rows, by the files' metadata."""
        return int(self.ends[-1]) if len(self.ends) else 0

    @property
    def groups(self) -> tuple[int, ...]:
        """Rows of each row group, record batch or CSV file."""
        return tuple(np.diff(self.ends, prepend=0).tolist())

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows gathered from their groups, which are read unless they are cached."""
        of = np.searchsorted(self.ends, indices, side="right")
        begins = np.concatenate([[0], self.ends[:-1]])
        X, *y = self.cache.gather(of, indices - begins[of], self._group)
        return X, y[0] if y else None

    def _group(self, group: int) -> list[np.ndarray]:
        place, index = self.places[group]
        table = _table(self.paths[place], index, self.features, self.target)
        if table.num_rows != self.groups[group]:
            raise _changed(self.paths[place])
        X, y = to_arrays(table, self.features, self.target, self.dtype)
        return [X] if y is None else [X, y]


def _refuse_folders(data: Any, roles: Roles) -> None:
    """Refuse columns that are in the names of folders, which are not read here, unless they are left out."""
    names = {name for _, pairs in files_with_folders(data) for name in pairs}
    wanted = names if roles.columns is None else names & set(map(str, roles.columns))
    if wanted:
        raise DataError(
            "it is in the names of folders, which are not read here",
            column=min(wanted),
            cure="Name the features with columns=, or give a table: pyarrow.dataset.dataset(...).to_table().",
        )


def from_files(name: str, data: Any, roles: Roles) -> FileSamples:
    """Samples of files, folders, globs or lists of these. Reads metadata only, but CSV files in full.

    Raises:
        DataError: no files, files that cannot be read or differ, columns that are missing or not numeric.
    """
    if roles.target is not None and roles.name("target") is None:
        raise DataError("target= is an array, and the rows are in files", cure="Name a column.")
    _refuse_folders(data, roles)
    paths, target = expand(data), roles.name("target")
    first: dict[str, pa.DataType] = {}
    kinds: set[pa.DataType] = set()
    features: tuple[str, ...] = ()
    for path in paths:
        types, index = fields(Part(path)), left_out(Part(path))
        features = features or roles.features(list(types), path, index)
        roles.features(list(types), path, index)
        types = _column_types(path, types, features, target)
        check(types, features, target)
        first = first or types
        _refuse_other_kinds(types, first, target, (path, paths[0]))
        kinds |= {types[feature] for feature in features}
    sizes = [groups(Part(path)) for path in paths]
    inner = [size for path in sizes for size in path]
    places = tuple((i, j) for i, path in enumerate(sizes) for j in range(len(path)))
    ends = np.cumsum(inner, dtype=np.int64)
    cache = RowGroupCache(
        len(inner), max(inner, default=1), groups_per_window(tuple(inner)) if any(inner) else 1
    )
    return FileSamples(
        name=name,
        paths=paths,
        places=places,
        ends=ends,
        features=features,
        target=target,
        dtype=joint(kinds),
        flat=all(element(kind) == kind for kind in kinds),
        cache=cache,
    )


def _column_types(
    path: str, types: dict[str, pa.DataType], features: tuple[str, ...], target: str | None
) -> dict[str, pa.DataType]:
    """The types of the columns to read; of CSV files over all rows."""
    wanted = features if target is None else (*features, target)
    for name in wanted:
        if name not in types:
            raise DataError(f"{path} lacks this column", column=name, cure="Give all files the same columns.")
    if format_of(path) == "csv":
        types = _csv_types(path, wanted, target)
    return {name: types[name] for name in wanted}


def _csv_types(path: str, columns: tuple[str, ...], target: str | None) -> dict[str, pa.DataType]:
    """The types of a CSV file's columns over all rows; whole numbers with missing values are floats."""
    found = file_facts(Part(path), columns)
    gaps = {name for name, facts in found.items() if facts.nulls and pa.types.is_integer(facts.type)}
    return {name: pa.float64() if name in gaps - {target} else found[name].type for name in columns}


def _refuse_other_kinds(
    types: dict[str, pa.DataType], first: dict[str, pa.DataType], target: str | None, where: tuple[str, str]
) -> None:
    """Refuse a file whose columns give other kinds of arrays than the first file."""
    for name, kind in types.items():
        if _array_kind(kind, name == target) != _array_kind(first[name], name == target):
            raise DataError(
                f"{where[0]} holds {kind} where {where[1]} holds {first[name]}",
                column=name,
                cure="Give it one type in all files.",
            )


def _array_kind(kind: pa.DataType, target: bool) -> str:
    if target:
        return "floats" if origin_of(element(kind)) == "f" else "whole numbers"
    return "numbers" if element(kind) == kind else f"lists of {element(kind)}"


def _table(path: str, index: int, features: tuple[str, ...], target: str | None) -> Any:
    """Some columns of one row group or record batch, or of a CSV file."""
    columns = list(features) if target is None else [*features, target]
    with reading(path):
        match format_of(path):
            case "parquet":
                meta = _footer(path)
                if index >= meta.num_row_groups:
                    raise _changed(path)
                with parquet(open_file(path), metadata=meta, page_checksum_verification=True) as file:
                    return file.read_row_group(index, columns=columns, use_threads=False)
            case "csv":
                types = _csv_types(path, tuple(columns), target)
                return pa.Table.from_batches(list(read(Part(path), columns, 1 << 16, types)))
            case _:
                return _batch(path, index).select(columns)


@cached_by_file
def _footer(path: str) -> Any:
    """The metadata of a Parquet file, read once for all row groups."""
    with parquet(open_file(path)) as file:
        return file.metadata


def _changed(path: str) -> DataError:
    """The error for a file that was overwritten after the start."""
    return DataError(f"{path} has changed since the start", cure="Start again.")


def _batch(path: str, index: int) -> Any:
    """One batch of an Arrow file, or of a stream, which is read up to it."""
    with open_arrow(path) as file:
        numbered = hasattr(file, "get_batch")
        return pa.Table.from_batches([file.get_batch(index) if numbered else next(islice(file, index, None))])

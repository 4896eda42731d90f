"""The samples of every node, from any supported data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.shard import Shard
from talkoot.data.names import refuse_meanings
from talkoot.data.paths import are_paths
from talkoot.data.roles import Roles
from talkoot.data.samples.arrays import ArraySamples, from_arrays
from talkoot.data.samples.base import Samples
from talkoot.data.samples.columns import check, check_exact, element, joint, to_arrays
from talkoot.data.samples.dataset import from_dataset
from talkoot.data.samples.files import FileSamples, from_files
from talkoot.data.shards import Shards
from talkoot.data.tables.arrays import ArrayShard
from talkoot.data.tables.dtypes import is_whole
from talkoot.data.tables.files import FileShard
from talkoot.data.tables.memory import is_sparse
from talkoot.data.tables.tables import as_arrow, is_table
from talkoot.data.unreadable import SAMPLES, unreadable

__all__ = ["Samples", "samples"]


def samples(data: Any, target: Any = None, *, columns: Sequence[str] | None = None) -> dict[str, Samples]:
    """The samples of every node by the node's name; "node0" for a single source.

    Args:
        data: one of

            - a file, folder, glob or list of files: Parquet, Arrow IPC or Feather, CSV;
            - a pandas, polars or pyarrow table;
            - an array of any number of dimensions: numpy, a memory map, a torch tensor;
            - a tuple (X, y) of arrays;
            - a map-style dataset of items x or (x, y), such as those of torch;
            - `tk.images(...)`, `tk.tokens(...)`, or `tk.shards(...)` of whole files or dense arrays;
            - a dict of named nodes: ``{"cleveland": any of these, ...}``. Names that mean something else,
              such as "validation" or "input_ids", are refused.
        target: the target's column name for tables and files; an array for arrays and tables.
        columns: the feature columns; all others by default. Number columns become one matrix; a column of
            lists of one length, such as images or windows of tokens, must be the only one.

    Arrays stay in their dtype. Number columns of a table are int64 where all hold whole numbers (at all
    nodes), else floats; whole numbers that float32 would round are then refused.

    Raises:
        DataError: no rows, lengths that differ, columns that are missing or hold text, files that cannot be
            read; with the node, the column and the cure.

    >>> samples((np.eye(3), np.arange(3)))["node0"].rows
    3
    """
    chosen = None if columns is None else tuple([columns] if isinstance(columns, str) else columns)
    roles = Roles(target=target, columns=chosen)
    if not isinstance(data, Mapping):
        return {"node0": _source("node0", data, roles)}
    if not data:
        raise DataError("the dict of nodes is empty", cure='Give {"name": rows, ...}.')
    refuse_meanings(map(str, data))
    if isinstance(data, Shards) and target is None:
        roles = replace(roles, target=data.target)
    if roles.target is not None and roles.name("target") is None:
        raise DataError("target= is one array for several nodes", cure='Give {"name": (X, y), ...}.')
    made: dict[str, Samples] = {}
    for node, rows in data.items():
        try:
            made[str(node)] = _source(str(node), rows, roles)
        except DataError as error:
            raise error.at(node=str(node)) from None
    return _unify_dtypes(made)


def _unify_dtypes(made: dict[str, Samples]) -> dict[str, Samples]:
    """Make number columns floats at all nodes if they are at one, as in one table."""
    types = {node: _columns(source) for node, source in made.items()}
    kinds = {None if kind is None else kind.kind == "f" for kind in types.values()} - {None}
    if kinds != {True, False}:
        return made
    return {
        node: source if kind is None or kind.kind == "f" else _as_floats(node, source)
        for (node, source), kind in zip(made.items(), types.values(), strict=True)
    }


def _columns(source: Samples) -> np.dtype[Any] | None:
    """The dtype of the number columns of a table or of files; None for other samples."""
    if isinstance(source, FileSamples):
        return source.dtype if source.flat else None
    return source.X.dtype if isinstance(source, ArraySamples) and source.columns else None


def _as_floats(node: str, source: Samples) -> Samples:
    if isinstance(source, FileSamples):
        return replace(source, dtype=np.dtype(np.float64))
    assert isinstance(source, ArraySamples)
    assert isinstance(source.X, np.ndarray)
    try:
        for j, name in enumerate(source.columns):
            check_exact(source.X[:, j], name)
    except DataError as error:
        raise error.at(node=node) from None
    return replace(source, X=source.X.astype(np.float64))


def _source(name: str, data: Any, roles: Roles) -> Samples:
    if are_paths(data):
        return from_files(name, data, roles)
    if isinstance(data, Shard):
        return _from_shard(name, data, roles)
    if isinstance(data, tuple):
        data, roles = _pair(data, roles)
    if is_table(data):
        return _from_table(name, data, roles)
    if is_sparse(data):
        raise DataError("samples of a sparse matrix are dense", cure="Give X.toarray().")
    for role in ("target", "columns"):
        given = roles.name(role) if role == "target" else roles.columns
        if given is not None:
            raise DataError(f"{role}={given!r} names columns, and these data have none", cure="Give a table.")
    if isinstance(data, list) or hasattr(data, "__array__"):
        return from_arrays(name, data, roles.target)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and roles.target is None:
        return from_dataset(name, data)
    raise unreadable(data, cure=SAMPLES)


def _pair(data: tuple[Any, ...], roles: Roles) -> tuple[Any, Roles]:
    """(X, y) as X, and the roles with y as the target."""
    if len(data) != 2:
        raise DataError(f"a tuple of {len(data)}", cure="Give (X, y).")
    if roles.target is not None:
        raise DataError("the target is given twice", cure="Give (X, y), or say target=.")
    return data[0], replace(roles, target=data[1])


def _from_table(name: str, data: Any, roles: Roles) -> ArraySamples:
    table, _ = as_arrow(data)
    features, target = roles.features(table.column_names), roles.name("target")
    types = dict(zip(table.column_names, table.schema.types, strict=True))
    check(types, features, target)
    kinds = [types[feature] for feature in features]
    X, y = to_arrays(table, features, target, joint(kinds))
    flat = all(element(kind) == kind for kind in kinds)
    return from_arrays(name, X, roles.target if target is None else y, features if flat else ())


def _from_shard(name: str, shard: Shard, roles: Roles) -> Samples:
    """Samples under their node's name; shards of whole files or dense arrays as samples."""
    if isinstance(shard, Samples):
        if roles.target is not None or roles.columns is not None:
            raise DataError("these are samples already", cure="Leave target= and columns= out.")
        return replace(shard, name=name, whole=name)
    if isinstance(shard, ArrayShard) and isinstance(shard.X, np.ndarray) and shard.w is None:
        whole = all(map(is_whole, shard.layout().dtypes)) and not np.isnan(shard.X).any()
        return from_arrays(name, shard.X.astype(np.int64) if whole else shard.X, shard.y)
    if isinstance(shard, FileShard) and shard.site is None and shard.roles.weight is None:
        whole = all(part.start == 0 and part.stop is None for part in shard.parts)
        if whole and shard.parts:
            own = replace(shard.roles, by=None, columns=roles.columns or shard.roles.columns)
            return from_files(name, [part.path for part in shard.parts], own)
    raise DataError(
        "these shards hold text, weights or parts of files, and cannot be read row by row",
        cure="Give the files, tables or arrays themselves.",
    )

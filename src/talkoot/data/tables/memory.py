"""Shards of rows in memory, from any supported form."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from talkoot.core.errors import DataError
from talkoot.data.roles import Roles, node_names
from talkoot.data.tables.arrays import ArrayShard
from talkoot.data.tables.columns import factorize, target_values, to_arrow
from talkoot.data.tables.file_facts import index_of
from talkoot.data.tables.source import Source
from talkoot.data.tables.tables import TableShard, as_arrow, dtypes_of, from_arrow, is_table, several_kinds
from talkoot.data.targets import as_query_ids, as_target, as_weights
from talkoot.data.unreadable import unreadable

CONVERTED = {"target": as_target, "weight": as_weights, "qid": as_query_ids}  # roles of one value a row


def from_memory(name: str, data: Any, roles: Roles, missing: tuple[str, ...] = ()) -> ArrayShard | TableShard:
    """A shard of a table, an array, a sparse matrix, or a tuple with targets and weights.

    Raises:
        DataError: lengths that differ, missing columns, or data of an unknown type.
    """
    data, roles = _untupled(data, roles)
    table, named = _table(data, missing)
    if table is None:
        return _from_array(name, data, roles)
    features = roles.features(table.column_names, left_out=index_of(table.schema))
    y, w, qid = (_column(table, roles, role, missing) for role in CONVERTED)
    _same_length(table.num_rows, y, w, qid)
    dtypes = dtypes_of(data, table)
    return from_arrow(name, table, features, y, w, qid, dtypes=dtypes, named=named, missing=missing)


def groups(data: Any, roles: Roles, missing: tuple[str, ...] = ()) -> dict[str, Source]:
    """A table split into nodes by the values of a column, sorted by name.

    Raises:
        DataError: no such column, missing values in it, or too many nodes.
    """
    bare, _ = _untupled(data, roles)
    table, _ = _table(bare)
    assert roles.by is not None
    if table is None:
        _dense(bare)  # raises where the data are not an array either
        raise DataError("by= names a column, and arrays have none", cure="Give a table, or a dict of nodes.")
    whole = from_memory("", data, roles, missing)
    codes, levels = factorize(table.column(roles.by))
    names = node_names(levels[:-1].tolist(), int((codes < 0).sum()), roles.by)
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], np.arange(len(names) + 1))
    rows = {name: order[ends[i] : ends[i + 1]] for i, name in enumerate(names)}
    return {name: whole.pick(rows[name], name) for name in sorted(rows)}


def _untupled(data: Any, roles: Roles) -> tuple[Any, Roles]:
    """(X, y) or (X, y, w) as X, and the roles with y and w."""
    if not isinstance(data, tuple):
        return data, roles
    if len(data) not in (2, 3):
        raise DataError(f"a tuple of {len(data)}", cure="Give (X, y) or (X, y, weights).")
    if roles.target is not None or (len(data) == 3 and roles.weight is not None):
        raise DataError(
            "the target or the weights are given twice", cure="Give (X, y, weights), or name target=."
        )
    weight = data[2] if len(data) == 3 else roles.weight
    return data[0], replace(roles, target=data[1], weight=weight)


def _table(data: Any, missing: tuple[str, ...] = ()) -> tuple[Any, bool]:
    """A table, or an array of text or objects, as a pyarrow table, and whether it has names."""
    if is_table(data):
        return as_arrow(data, missing)
    if isinstance(data, np.ndarray) and data.ndim == 1 and data.dtype.names:
        return as_arrow(pa.table({name: to_arrow(data[name]) for name in data.dtype.names}), missing)
    if isinstance(data, np.ndarray) and data.ndim == 2 and data.dtype.kind in "OUS":
        if missing:
            data = data.astype(object)
            is_missing = np.vectorize(
                lambda value: isinstance(value, str) and value in missing, otypes=[bool]
            )
            data[is_missing(data)] = None
        columns = {str(j): _object_column(data[:, j], j) for j in range(data.shape[1])}
        return pa.table(columns), False
    return None, False


def _object_column(values: np.ndarray, j: int) -> Any:
    try:
        return to_arrow(values)
    except DataError:
        raise several_kinds(values, str(j)) from None


def _column(table: Any, roles: Roles, role: str, missing: tuple[str, ...]) -> np.ndarray | None:
    """What rows have besides features, from a column or from an array."""
    value, name = getattr(roles, role), roles.name(role)
    if value is None:
        return None
    try:
        if name is None:
            return CONVERTED[role](value)
        values = target_values(table.column(name), missing)
        return values if role == "target" else CONVERTED[role](values)
    except DataError as error:
        raise DataError(error.cause, column=name, cure=error.cure) from None


def _from_array(name: str, data: Any, roles: Roles) -> ArrayShard:
    X = _csr(data) if is_sparse(data) else _dense(data)
    for role in (*CONVERTED, "by"):
        if roles.name(role) is not None:
            raise DataError(
                f"{role}={roles.name(role)!r} names a column, and arrays have none",
                cure=f"Give {role}= as an array, or the data as a table.",
            )
    if roles.columns is not None:
        X = X[:, _positions(roles.columns, X.shape[1])]
    y = None if roles.target is None else as_target(roles.target)
    w = None if roles.weight is None else as_weights(roles.weight)
    qid = None if roles.qid is None else as_query_ids(roles.qid)
    _same_length(X.shape[0], y, w, qid)
    return ArrayShard(name=name, X=X, y=y, w=w, qid=qid)


def _dense(data: Any) -> np.ndarray:
    if isinstance(data, np.ma.MaskedArray):  # numpy.asarray would ignore the mask
        data = np.ma.filled(data if data.dtype.kind == "f" else data.astype(np.float64), np.nan)
    try:
        X: np.ndarray = np.asarray(data)
    except (ValueError, TypeError, RuntimeError):  # rows of differing length; tensors on a GPU
        raise unreadable(data) from None
    if X.dtype.kind not in "biuf" or X.ndim != 2:
        raise unreadable(data, X)
    return X


def is_sparse(data: Any) -> bool:
    """Whether it is a sparse matrix of scipy; does not import scipy."""
    return "scipy.sparse" in sys.modules and bool(sys.modules["scipy.sparse"].issparse(data))


def _csr(data: Any) -> Any:
    from scipy.sparse import csr_array

    X = csr_array(data)
    if X.dtype.kind not in "biuf":
        raise DataError(f"the sparse matrix holds {X.dtype}", cure="Make it numbers.")
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def _positions(columns: tuple[Any, ...], features: int) -> list[int]:
    bad = [c for c in columns if not isinstance(c, int | np.integer) or not 0 <= c < features]
    if bad:
        raise DataError(
            f"columns= has {bad[0]!r}, and the array has columns 0 to {features - 1}",
            cure="Give positions, or the data as a table.",
        )
    return [int(c) for c in columns]


def _same_length(rows: int, y: np.ndarray | None, w: np.ndarray | None, qid: np.ndarray | None) -> None:
    for what, values in (("target", y), ("sample weights", w), ("query ids", qid)):
        if values is not None and len(values) != rows:
            raise DataError(
                f"X has {rows} rows, but the {what} {'has' if what == 'target' else 'have'} {len(values)}",
                cure="Give one for each row.",
            )

"""Test of whether a function treats each row independently, on a few rows of a node.

Nodes read rows in blocks, so a function that depends on other rows (`x - x.mean(axis=0)`, ranks, running
sums) would give another result than on one machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from scipy import sparse

from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Rows, Schema
from talkoot.learners.compose.shapes import is_sparse, typical

ROWS = 2048  # rows of a test
CURE = (
    "Write it so that the result of a row depends on that row alone. What depends on all rows is learned by "
    "a step of its own, such as StandardScaler() or QuantileTransformer()."
)

Function = Callable[[Rows], Any]


def informative_block(blocks: Iterable[Block]) -> Block | None:
    """The first block whose first rows are not all equal, else the first with rows, else None."""
    first = None
    for block in blocks:
        if len(block):
            first = first or block
            head = _take(block.X, slice(0, ROWS))
            if not _same(_table(head), _table(_repeated(head))):
                return block
    return first


def require_rowwise(function: Function, block: Block, schema: Schema, name: str) -> None:
    """Test a function on the first rows of a block: all, parts, single ones, and with one more row.

    `schema` is of the rows, and `name` that of the function in errors.

    Raises:
        DataError: the number of rows changes, or results depend on other rows, chance, or earlier calls.
    """
    rows = slice(0, min(len(block), ROWS))
    X = _take(block.X, rows)
    whole = _result(function, X, name)
    if not _same(whole, _result(function, X, name)):
        raise DataError(
            f"{name} gives two results for the same rows: it depends on chance or on earlier calls",
            cure="Write it so that the same row always gives the same result.",
        )
    for part, where in _parts(rows.stop):
        if not _same(whole[part], _result(function, _take(X, part), name)):
            raise _not_rowwise(name, where, rows.stop)
    try:
        more = function(_with(X, typical(schema), schema))
    except Exception:  # the function may refuse an artificial row
        return
    if not _same(whole, more[rows]):
        raise _not_rowwise(name, "with a row of average values beside them", rows.stop)


def _parts(rows: int) -> Iterator[tuple[slice, str]]:
    half = rows // 2
    if half:
        yield slice(0, half), "without the second half of them"
        yield slice(half, rows), "without the first half of them"
        yield slice(None, None, -1), "in reverse order"
        for row in sorted({0, half, rows - 1}):
            yield slice(row, row + 1), "alone"


def _not_rowwise(name: str, where: str, rows: int) -> DataError:
    return DataError(
        f"{name} does not treat each row by itself: of the {rows} rows that were tried, some have another "
        f"result {where}. Nodes read rows in blocks, so the answer would not be that of one machine",
        cure=CURE,
    )


def _result(function: Function, X: Rows, name: str) -> Any:
    rows, out = len(Block(X=X)), function(X)
    if np.ndim(out) < 2 or out.shape[0] != rows:
        raise DataError(
            f"{name} makes an array of shape {np.shape(out)} of {rows} rows",
            cure="It has to give a table with one row for each row; leave rows out before the fit.",
        )
    return out


def _take(X: Rows, rows: slice) -> Rows:
    return {name: column[rows] for name, column in X.items()} if isinstance(X, Mapping) else X[rows]


def _with(X: Rows, row: Rows, schema: Schema) -> Rows:
    """The rows and one more."""
    if isinstance(X, Mapping):
        return {name: np.concatenate([X[name], row[name]]) for name in schema.labels}
    return sparse.vstack([X, row], format="csr") if is_sparse(X) else np.concatenate([X, row])


def _repeated(X: Rows) -> Rows:
    """Rows that all equal the first one."""
    if isinstance(X, Mapping):
        return {name: np.repeat(column[:1], len(column)) for name, column in X.items()}
    return X[np.zeros(X.shape[0], dtype=np.intp)]


def _table(X: Rows) -> Any:
    return np.stack([column.astype(object) for column in X.values()], 1) if isinstance(X, Mapping) else X


def _same(a: Any, b: Any) -> bool:
    """Whether two results are equal up to rounding; NaN and None equal themselves."""
    if a.shape != b.shape or is_sparse(a) != is_sparse(b):
        return False
    if is_sparse(a):
        some = np.union1d(a.indices, b.indices)  # columns in which either stores anything
        a, b = a[:, some].toarray(), b[:, some].toarray()
    if not all(np.issubdtype(x.dtype, np.number) for x in (a, b)):
        return bool(np.all((a == b) | ((a != a) & (b != b))))
    digits = 1e-4 if np.float32 in (a.dtype, b.dtype) else 1e-7
    size = np.where(np.isfinite(a), np.abs(a), 0.0).max(axis=0, initial=0.0)
    return bool(np.isclose(a, b, rtol=digits, atol=digits * size, equal_nan=True).all())

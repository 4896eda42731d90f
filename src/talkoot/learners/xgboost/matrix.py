"""The bins of a process's rows, which XGBoost makes of them batch by batch; in files where memory is short.

XGBoost maps its files into memory when it grows trees, so that the kernel may drop what is read.
Source: https://xgboost.readthedocs.io/en/stable/tutorials/external_memory.html
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, final

import numpy as np
from threadpoolctl import threadpool_limits

from talkoot.core.errors import DataError
from talkoot.core.shard import Block
from talkoot.data.free_memory import free_memory
from talkoot.learners.common.queries import by_query, query_weights
from talkoot.learners.common.rows import concatenate, take
from talkoot.learners.xgboost.cuts import reference
from talkoot.learners.xgboost.files import Files
from talkoot.learners.xgboost.rows import BATCH, Binning, Part, batches

if TYPE_CHECKING:
    import xgboost

ROW, OUTPUT = 64, 12  # bytes that a row takes beside its bins, and more for each output
IN_FILE = 24  # of these in a file, about
BATCHES = 4  # that are in memory at once, as blocks, put together and in bins


@final
class Matrix:
    """Rows in bins; these, and the files in which they may lie, are gone with it.

    Args:
        parts: the rows of nodes, in their order.
        how: they become bins.
        learned: what is learned from, where these rows are held out.

    Raises:
        DataError: the rows changed, or there is no room for files.
    """

    def __init__(self, parts: Sequence[Part], how: Binning, learned: Matrix | None = None) -> None:
        rows, size = sum(part.rows for part in parts), _size(parts, how)
        in_memory = size + rows * (ROW + OUTPUT * how.outputs) + BATCHES * BATCH <= free_memory()
        files = None if in_memory else Files(size + rows * IN_FILE)
        self._held = list[Any]()
        self._end = weakref.finalize(self, _free, self._held, files)
        try:
            bins = reference(how.cuts, how.names, how.bins) if learned is None else learned.rows
            self._held.append(_made(_Passes(parts, how), how, bins, files))
        except BaseException:
            self._end()
            raise

    @property
    def rows(self) -> xgboost.DMatrix:
        """What XGBoost learns from."""
        found: xgboost.DMatrix = self._held[0]
        return found


def of_queries(parts: Sequence[Part], how: Binning, estimator: Any) -> Matrix:
    """Rows in bins, query by query, in memory.

    Raises:
        DataError: the rows of some query differ in weight.
    """
    every = concatenate([block for part in parts for block in part.blocks()])
    assert every.qid is not None
    order, sizes = by_query(every.qid)
    block = take(every, order)
    matrix = Matrix([Part(partial(_once, block), len(block), any(part.missing for part in parts))], how)
    if how.weighted:
        w = np.ones(len(block)) if block.w is None else block.w
        matrix.rows.set_info(group=sizes, weight=query_weights(w, sizes, estimator))
    else:
        matrix.rows.set_info(group=sizes)
    return matrix


def _once(block: Block) -> Iterator[Block]:
    yield block


def _free(held: list[Any], files: Files | None) -> None:
    held.clear()  # first, as XGBoost misses its files
    if files is not None:
        files.remove()


def _size(parts: Sequence[Part], how: Binning) -> int:
    """Bytes of the bins, which XGBoost has by rows and by columns."""
    byte = 1 if how.bins <= 1 << 8 else 2 if how.bins <= 1 << 16 else 4
    by_rows = 4 if any(part.missing for part in parts) else byte
    return sum(part.rows for part in parts) * len(how.cuts) * (byte + by_rows)


def _made(passes: _Passes, how: Binning, bins: Any, files: Files | None) -> Any:
    """The rows in the bins of others."""
    import xgboost

    class Rows(xgboost.DataIter):
        def reset(self) -> None:
            passes.reset()

        def next(self, input_data: Callable[..., None]) -> bool:
            return passes.next(input_data)

    def work() -> Any:
        with threadpool_limits(limits=how.threads, user_api="openmp"):  # engines allow one
            return kind(rows, max_bin=how.bins, nthread=how.threads, ref=bins)

    kind = xgboost.QuantileDMatrix if files is None else xgboost.ExtMemQuantileDMatrix
    rows = Rows(cache_prefix=None if files is None else files.prefix)
    return _apart(work, passes.end)


def _apart(work: Callable[[], Any], end: Callable[[], None]) -> Any:
    """What `work` gives on a thread of its own: Ctrl-C would be lost in what XGBoost calls back."""
    found, errors = list[Any](), list[BaseException]()

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:
        end()
        thread.join()
        found.clear()
        raise
    if errors:
        raise errors.pop()
    return found.pop()


@final
class _Passes:
    """Passes over rows, which XGBoost makes some of; each has the same ones."""

    def __init__(self, parts: Sequence[Part], how: Binning) -> None:
        self._parts, self._weighted = parts, how.weighted
        self._names = None if how.names is None else list(how.names)
        self._rows, self._given = sum(part.rows for part in parts), 0
        self._batches, self._ended = batches(()), False

    def reset(self) -> None:
        """Begin another pass."""
        self._batches, self._given = batches(self._parts), 0

    def end(self) -> None:
        """Have no batch any more."""
        self._ended = True

    def next(self, input_data: Callable[..., None]) -> bool:
        """Pass on a batch; False where there is none.

        Raises:
            DataError: there are more or fewer rows than before.
        """
        batch = None if self._ended else next(self._batches, None)
        self._given += 0 if batch is None else len(batch)
        if self._given > self._rows or (batch is None and self._given < self._rows):
            cure = "Fit again when nobody writes to them."
            raise DataError("the rows changed while they were put into bins", cure=cure)
        if batch is None:
            return False
        input_data(data=batch.X, feature_names=self._names, **self._targets(batch))
        return True

    def _targets(self, batch: Block) -> dict[str, np.ndarray]:
        found = {"label": np.asarray(batch.y, dtype=np.float32).reshape(-1)}
        if self._weighted:
            w = np.ones(len(batch)) if batch.w is None else batch.w
            found["weight"] = w.astype(np.float32)
        return found

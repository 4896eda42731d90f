"""The loader: what the nodes of one process read of every global batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, final

import numpy as np

from talkoot.core.context import stream_rng
from talkoot.core.errors import DataError, PlanError, TalkootError, place_of
from talkoot.core.shard import Shard
from talkoot.data.loading.generators import sample_seeds
from talkoot.data.loading.prefetch import Prefetcher
from talkoot.data.loading.shuffle import Shuffle
from talkoot.data.samples.base import Samples, samples_of

Arrays = tuple[np.ndarray, np.ndarray | None]  # X and y
RUN = 16  # steps read at once at most
_KINDS = {"b": "booleans", "i": "whole numbers", "u": "whole numbers", "f": "floats"}  # by numpy's letters
RUN_BYTES = 4 << 20  # bytes of the batches read at once


@final
@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The part of a global batch that one process reads."""

    X: np.ndarray  # features, (rows, ...)
    y: np.ndarray | None  # targets, (rows, ...), or None
    rows: int  # their number; 0 where the batch is smaller than the number of nodes


@final
class Loader:
    """The batches of the nodes of one process. Which rows a step reads depends on seed and step alone.

    Step s covers positions s * batch to (s + 1) * batch of the shuffled source. Where nodes share a source,
    node i of n reads positions batch * i // n to batch * (i + 1) // n of these, so that together they read
    the same rows in the same order as one node. Sources that are not ready are prefetched, unless user code
    makes their samples: it may draw from random generators that training uses too. Its random numbers depend
    on seed, source, epoch and row only.

    Args:
        sources: samples of the nodes of this process.
        batch: rows of a global batch; a source with a quota reads that many of it.
        seed: the run's seed.
        prefetch: steps to read ahead, on one thread; 0 for none.

    >>> from talkoot.data.samples.samples import samples
    >>> nodes = samples(np.arange(6.0))["node0"].share(["a", "b"])
    >>> with Loader(nodes[:1], batch=4, seed=0) as a, Loader(nodes[1:], batch=4, seed=0) as b:
    ...     a.at(0).rows, b.at(0).rows, len({*a.at(0).X.tolist(), *b.at(0).X.tolist()})
    (2, 2, 4)
    """

    def __init__(self, sources: Sequence[Samples], *, batch: int, seed: int, prefetch: int = 2) -> None:
        assert sources
        self._sources = tuple(sources)
        self._sizes = {source.name: source.quota or batch for source in sources}
        wholes = {source.whole: source for source in sources}
        self._orders = {
            name: Shuffle(rows=source.rows, seed=seed, key=name, groups=source.groups)
            for name, source in wholes.items()
        }
        self._keys = {name: int(stream_rng(seed, "samples", name).integers(2**63)) for name in wholes}
        lazy = prefetch > 0 and not all(source.ready for source in sources)
        here = any(source.own_code for source in sources)
        self._prefetcher = Prefetcher(self._run, prefetch) if lazy and not here else None
        self._last: tuple[int, Batch] | None = None
        self._most = RUN if any(source.groups for source in sources) else 1
        self._steps = 1  # read at once; set after the first read

    def at(self, step: int) -> Batch:
        """The batch of a step; steps may come in any order.

        Raises:
            DataError: samples that cannot be read, or two nodes whose samples differ in shape.
        """
        if self._prefetcher is not None:
            return self._prefetcher.at(step)
        if self._last is None or self._last[0] != step:
            self._last = step, self._read(step, 1)[0]
        return self._last[1]

    def close(self) -> None:
        """Stop reading ahead."""
        if self._prefetcher is not None:
            self._prefetcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _run(self, step: int) -> list[Batch]:
        """The batches of several steps at once, if small: that is cheaper where rows are read by groups."""
        batches = self._read(step, self._steps)
        size = batches[0].X.nbytes
        self._steps = max(1, min(self._most, RUN_BYTES // max(1, size)))
        return batches

    def _read(self, step: int, steps: int) -> list[Batch]:
        slices = [(source, *self._indices(source, step, steps)) for source in self._sources]
        some = [(source, rows, seeds) for source, rows, seeds in slices if rows.size]
        if not some:
            X, y = draw_samples(self._sources[0], np.zeros(1, np.int64), np.zeros(1, np.int64))
            return [Batch(X[:0], None if y is None else y[:0], 0)] * steps
        parts = [
            (source.name, draw_samples(source, rows.ravel(), seeds.ravel()), rows.shape[1])
            for source, rows, seeds in some
        ]
        for name, arrays, _ in parts[1:]:
            _check_alike(parts[0][0], parts[0][1], name, arrays)
        return [_concatenate([_part(arrays, i, size) for _, arrays, size in parts]) for i in range(steps)]

    def _indices(self, source: Samples, step: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows that a source reads in consecutive steps, (steps, rows), and their seeds."""
        size = self._sizes[source.name]
        mine = slice(*(size * part // source.of for part in (source.part, source.part + 1)))
        first, last = step * size, (step + steps) * size
        rows = self._orders[source.whole].at(first, last).reshape(steps, size)[:, mine]
        if not source.own_code:
            return rows, rows
        epochs = (np.arange(first, last) // source.rows).reshape(steps, size)[:, mine]
        return rows, sample_seeds(self._keys[source.whole], epochs, rows)


def draw_samples(source: Samples, indices: np.ndarray, seeds: np.ndarray) -> Arrays:
    """Samples of a node; errors name the node."""
    try:
        return source.draw(indices, seeds)
    except TalkootError as error:
        raise error.at(node=source.name) from error.__cause__ or error
    except Exception as error:
        cause = f"its samples cannot be read: {type(error).__name__}: {error}{place_of(error)}"
        raise DataError(cause, node=source.name, cure="Check that everything it reads exists.") from error


def with_quotas(shards: Mapping[str, Shard], batch: int) -> dict[str, Samples]:
    """Each node's share of every batch, in proportion to its samples; not where nodes share one source."""
    sources = samples_of(shards)
    if len({source.whole for source in sources.values()}) < len(sources):
        return sources
    quotas = apportion(batch, {node: source.rows for node, source in sources.items()})
    return {node: replace(source, quota=quotas[node]) for node, source in sources.items()}


def apportion(batch: int, rows: Mapping[str, int]) -> dict[str, int]:
    """Shares of a global batch in proportion to the nodes' rows, by largest remainder, at least 1 each.

    Args:
        batch: rows of the global batch.
        rows: the nodes' rows.

    Raises:
        PlanError: more nodes than rows in a batch.

    >>> apportion(8, {"a": 700, "b": 290, "c": 10})
    {'a': 5, 'b': 2, 'c': 1}
    """
    if batch < len(rows):
        raise PlanError(
            f"a batch of {batch} rows leaves some of {len(rows)} nodes without one",
            cure=f"Take batch={len(rows)} or more.",
        )
    total = sum(rows.values())
    small = {node for node, count in rows.items() if batch * count < total}
    if small:
        others = {node: count for node, count in rows.items() if node not in small}
        shares = {**dict.fromkeys(small, 1), **apportion(batch - len(small), others)}
        return {node: shares[node] for node in rows}
    shares = {node: batch * count // total for node, count in rows.items()}
    nearest = sorted(rows, key=lambda node: (-(batch * rows[node] % total), node))
    left = batch - sum(shares.values())
    return {node: shares[node] + (node in nearest[:left]) for node in rows}


def _part(arrays: Arrays, number: int, size: int) -> Arrays:
    X, y = arrays
    rows = slice(number * size, (number + 1) * size)
    return X[rows], None if y is None else y[rows]


def _concatenate(parts: Sequence[Arrays]) -> Batch:
    X, y = parts[0]
    if len(parts) > 1:
        X = np.concatenate([X for X, _ in parts])
        y = None if y is None else np.concatenate([y for _, y in parts if y is not None])
    return Batch(X, y, len(X))


def _check_alike(first: str, ours: Arrays, node: str, theirs: Arrays) -> None:
    """Refuse samples that cannot be in one batch."""
    for what, a, b in zip(("samples", "targets"), ours, theirs, strict=True):
        here, there = (None if v is None else (v.shape[1:], _KINDS[v.dtype.kind]) for v in (b, a))
        if here != there:
            shown = [f"{v.dtype} of shape {v.shape[1:]}" if v is not None else "missing" for v in (b, a)]
            raise DataError(
                f"its {what} are {shown[0]}, and those of {first!r} are {shown[1]}",
                node=node,
                cure="Bring the samples of all nodes to one shape and type.",
            )

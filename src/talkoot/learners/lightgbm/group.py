"""The nodes of one process among several, which train together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from threadpoolctl import threadpool_limits

from talkoot.core.errors import DataError, NodeFailed
from talkoot.core.shard import Schema
from talkoot.learners.common.group import Group, Rows, pooled, threads
from talkoot.learners.lightgbm.leaves import Leaves, leaves_of
from talkoot.learners.lightgbm.mesh import COMING, Listener, Mesh, PeerLost, connected
from talkoot.learners.lightgbm.network import summed
from talkoot.learners.lightgbm.reference import data_set, sampled
from talkoot.learners.lightgbm.rules import EQUAL, ONE, Settings
from talkoot.learners.lightgbm.several import Grow, Sample
from talkoot.learners.lightgbm.start import LOGARITHMS, target_sums

FEW = 100  # rows by which leaves are compared with LightGBM's own


@final
class Boosters(Group[Rows]):
    """The nodes of one process, with their rows in bins and the trees that all processes have grown."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self._how: Sample | None = None
        self._listener: Listener | None = None
        self._mesh: Mesh | None = None
        self._data: Any = None
        self._leaves: Leaves | None = None
        self._few = np.zeros(0, dtype=np.intp), np.zeros((0, 0))
        self._booster: Any = None
        self._trees = 0

    def forget(self) -> None:
        """Leave the other processes, and drop bins and trees."""
        if self._mesh is not None:
            self._mesh.close()
        if self._listener is not None:
            self._listener.close()
        self._how = self._listener = self._mesh = self._data = self._leaves = self._booster = None
        self._trees = 0

    def sample(self, how: Sample, schema: Schema, settings: Settings) -> tuple[dict[str, bytes], bytes]:
        """For each node its rows of which bins are made; and the sums of the target.

        Raises:
            DataError: the objective needs a target above 0 in each process.
        """
        self._how = how
        if settings.objective in LOGARITHMS and not any(rows.y.any() for rows in self.rows.values()):
            raise DataError(
                f"all targets of {', '.join(map(repr, sorted(self.rows)))} are 0, and LightGBM refuses "
                f"objective={settings.objective!r} in a process without others",
                cure=f"{ONE}, or put these rows on a node that has others too.",
            )
        chosen, found = sampled(how.rows, settings.params), dict[str, bytes]()
        for node, rows in self.rows.items():
            first = how.firsts[node]
            low, high = np.searchsorted(chosen, [first, first + len(rows.y)])
            found[node] = _values(rows.X[chosen[low:high] - first], how.dtype).astype(np.float64).tobytes()
        sums = [
            target_sums(
                _labels(rows.y, schema),
                _weights(rows, how, schema),
                None if schema.classes is None else len(schema.classes),
                roots=settings.roots,
            )
            for _, rows in sorted(self.rows.items(), key=lambda item: how.firsts[item[0]])
        ]
        return found, np.asarray(sum(sums)).tobytes()

    def bin(self, saved: bytes, start: np.ndarray, schema: Schema, settings: Settings) -> bool:
        """Put the rows into bins; whether they are still there."""
        how = self._how
        if how is None or len(self.rows) == 0:
            return False
        rows = pooled(self.take(), sorted(how.firsts, key=how.firsts.__getitem__))
        params, X = dict(settings.params), _values(rows.X, how.dtype)
        if how.weighted or settings.objective not in EQUAL:
            self._leaves, whole = leaves_of(X, saved, how.rows, settings)
            self._few = whole[:FEW], X[whole[:FEW]]
        self._data = data_set(saved, X, params)
        self._data.set_label(_labels(rows.y, schema).astype(np.float64))
        self._data.set_weight(_weights(rows, how, schema))
        self._data.set_init_score(np.repeat(start, len(X)))
        if schema.names is not None:
            self._data.set_feature_name(list(schema.names))
        return True

    def listen(self, processes: Sequence[str]) -> str:
        """Where the other processes reach this one from now on."""
        alone = len({name.rpartition("/")[0] for name in processes}) == 1
        self._listener = Listener(alone=alone)
        return self._listener.address

    def grow(self, question: Grow, estimator: Any, settings: Settings) -> str | None:
        """Grow trees; None where those before them are lost.

        Returns:
            Of the first process all trees as text, once they are there; else an empty text.

        Raises:
            PeerLost: another process is gone, or does not answer.
            LightGBMError: it refuses something.
        """
        import lightgbm

        since, until = question.trees
        if self._data is None or self._trees != since:
            return None
        rank, count = question.processes.index(self.token), threads(estimator.n_jobs)
        if self._mesh is None:
            assert self._listener is not None
            self._mesh = connected(self._listener, self.key, rank, question.addresses)
            self._listener.close()
        _meet(self._mesh)
        params = {**settings.params, "tree_learner": "data", "num_threads": count}
        params["num_machines"] = len(question.processes)
        with threadpool_limits(limits=count, user_api="openmp"), summed(self._mesh, self._leaves) as sums:
            try:
                if self._booster is None:
                    self._booster = lightgbm.Booster(params, self._data)
                while self._trees < until and sums.error is None:
                    before = self._booster.num_trees()
                    self._booster.update()
                    self._trees += 1
                    if self._leaves is not None and self._booster.num_trees() > before:
                        self._require_followed(self._leaves)
            finally:
                sums.require()
        if not question.last:
            return ""
        text = self._booster.model_to_string(num_iteration=-1) if rank == 0 else ""
        self.forget()
        return str(text)

    def _require_followed(self, leaves: Leaves) -> None:
        """Refuse a tree that grew otherwise than its rows were counted.

        Raises:
            NodeFailed: it did.
        """
        (places, few), followed = self._few, leaves.of_rows()
        if followed is None or not len(few):
            return
        last = self._booster.current_iteration() - 1
        found = self._booster.predict(few, start_iteration=last, num_iteration=1, pred_leaf=True)
        same = found.reshape(len(few), -1) == followed[places, None]  # of each class that has a tree
        if not same.all(axis=0).any():
            raise NodeFailed(
                "this LightGBM grows trees in another way than expected, so their rows cannot be counted",
                cure=f"Take lightgbm 4. {ONE}.",
            )


def _meet(mesh: Mesh) -> None:
    """Wait until all processes are about to grow trees.

    Raises:
        PeerLost: of the first that does not come.
    """
    room = [memoryview(bytearray(1)) for _ in range(mesh.size)]
    try:
        mesh.exchange([b"!"] * mesh.size, room, COMING)
    except PeerLost:
        mesh.close()
        raise


def _values(X: np.ndarray, dtype: str) -> np.ndarray:
    """Values as LightGBM takes those of all rows together: what is not floating in single precision."""
    together = np.dtype(dtype)
    floating = together in (np.dtype(np.float32), np.dtype(np.float64))
    return X.astype(together, copy=False).astype(together if floating else np.float32, copy=False)


def _labels(y: np.ndarray, schema: Schema) -> np.ndarray:
    """Targets, or numbers of classes."""
    return y if schema.classes is None else np.searchsorted(schema.classes, y)


def _weights(rows: Rows, how: Sample, schema: Schema) -> np.ndarray | None:
    """(rows,) what they weigh; None where all weigh 1."""
    if not how.weighted:
        return None
    w = np.ones(len(rows.y)) if rows.w is None else np.asarray(rows.w, dtype=np.float64)
    return w if how.classes is None else w * how.classes[_labels(rows.y, schema)]

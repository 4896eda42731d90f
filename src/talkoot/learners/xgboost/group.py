"""The nodes of one process, which train as one."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final
from weakref import WeakValueDictionary

import numpy as np
from threadpoolctl import threadpool_limits

from talkoot.core.shard import Schema, Shard
from talkoot.learners.xgboost.collective import Address, Tracker, joined, machine
from talkoot.learners.xgboost.cuts import reference, single

if TYPE_CHECKING:
    import xgboost


@final
@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of a node: (rows, features) float32, targets, and weights where rows have some."""

    X: np.ndarray
    y: np.ndarray
    w: np.ndarray | None


def rows_of(shard: Shard, schema: Schema, estimator: Any, *, weighted: bool) -> Rows | None:
    """All rows of a node; None if it has none."""
    blocks = list(single(shard, schema, estimator))
    if not blocks:
        return None
    ys = [np.asarray(block.y, dtype=np.float32).reshape(-1) for block in blocks]
    ws = [np.ones(len(block), np.float32) if block.w is None else block.w for block in blocks]
    X = np.concatenate([np.asarray(block.X) for block in blocks])
    return Rows(X, np.concatenate(ys), np.concatenate(ws) if weighted else None)


@final
class Group:
    """What the nodes of one run have in common in one process.

    Args:
        key: names the run.

    Attributes:
        token: names the group among those of all processes; another one where this one was lost.
        nodes: the names of its nodes that have rows.
    """

    def __init__(self, key: str) -> None:
        self.key, self.token = key, f"{machine()}/{secrets.token_hex(8)}"
        self.nodes: set[str] = set()
        self.tracker: Tracker | None = None
        self._rows: dict[str, Rows] = {}
        self._matrix: xgboost.QuantileDMatrix | None = None
        self._booster: xgboost.Booster | None = None
        self._trees = self._step = -1
        self._lock = threading.Lock()

    def __reduce__(self) -> Any:
        return type(None), ()  # never sent: nodes that lost it read their rows again

    def add(self, node: str, rows: Rows) -> None:
        """Take a node in."""
        with self._lock:
            self.nodes.add(node)
            self._rows[node] = rows
            self._matrix = self._booster = None

    def begins(self, step: int) -> bool:
        """Whether this is the first call for a step, whose caller does what the whole group is to do."""
        with self._lock:
            first, self._step = step > self._step, max(step, self._step)
            return first

    def build(self, cuts: Sequence[np.ndarray], names: tuple[str, ...] | None, bins: int) -> bool:
        """Put all rows into bins, node by node in the order of their names; False if some are lost."""
        import xgboost

        if self._matrix is not None:
            return True
        if len(self._rows) < len(self.nodes):
            return False
        rows = [self._rows[node] for node in sorted(self._rows)]
        weights = [part.w for part in rows if part.w is not None]
        self._matrix = xgboost.QuantileDMatrix(
            np.concatenate([part.X for part in rows]),
            np.concatenate([part.y for part in rows]),
            weight=np.concatenate(weights) if weights else None,
            feature_names=names,
            max_bin=bins,
            nthread=threads(None),
            ref=reference(cuts, names, bins),
        )
        self._rows.clear()
        return True

    def meet(self, processes: int, *, alone: bool) -> Address:
        """Where the processes meet next."""
        self.tracker = Tracker(processes, alone=alone)
        return self.tracker.address

    def train(
        self,
        params: Mapping[str, Any],
        trees: tuple[int, int],
        known: bytes,
        meeting: tuple[Address, int] | None,
    ) -> xgboost.Booster | None:
        """Grow trees; None where the trees before them are lost.

        Args:
            params: of XGBoost.
            trees: how many iterations there are, and how many there are to be.
            known: those that there are, as bytes; empty where the group has them.
            meeting: where processes meet, and which of them this is; None where it is the only one.

        Raises:
            XGBoostError: another process is lost, or XGBoost refuses something.
        """
        booster, self._booster = self._booster, None  # what an error leaves half grown is not used again
        since, until = trees
        if known or not since:
            booster = self._loaded(params, known)
        elif self._trees != since:
            booster = None
        if booster is None or self._matrix is None:
            return None
        allowed = threadpool_limits(limits=params["nthread"], user_api="openmp")  # engines allow one
        with allowed, joined(*meeting) if meeting is not None else nullcontext():
            for iteration in range(since, until):
                booster.update(self._matrix, iteration)
        self._booster, self._trees = booster, until
        return booster

    def _loaded(self, params: Mapping[str, Any], known: bytes) -> xgboost.Booster:
        import xgboost

        assert self._matrix is not None
        return xgboost.Booster(dict(params), [self._matrix], bytearray(known) if known else None)


_GROUPS: WeakValueDictionary[str, Group] = WeakValueDictionary()
_LOCK = threading.Lock()


def group_of(key: str) -> Group:
    """The group of a run in this process; it lasts as long as one of its nodes holds it."""
    with _LOCK:
        found = _GROUPS.get(key)
        if found is None:
            found = _GROUPS[key] = Group(key)
        return found


def threads(wanted: int | None) -> int:
    """Threads of a process: as many as wanted, or as the environment grants; all cores where it is silent.

    Workers of `Local` are granted one core, actors of Ray their share.
    """
    if wanted is not None and wanted > 0:
        return wanted
    granted = os.environ.get("OMP_NUM_THREADS", "")
    if granted.isdigit() and int(granted):
        return int(granted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

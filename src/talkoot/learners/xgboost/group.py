"""The nodes of one process, which train as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, final

import numpy as np
from threadpoolctl import threadpool_limits

from talkoot.core.shard import Schema, Shard
from talkoot.learners.common.group import Group, Rows, pooled, threads
from talkoot.learners.common.queries import by_query, query_weights, ranks
from talkoot.learners.trees.held_out import require_weight
from talkoot.learners.xgboost.collective import Address, Tracker, joined
from talkoot.learners.xgboost.cuts import reference, single

if TYPE_CHECKING:
    import xgboost


def rows_of(shard: Shard, schema: Schema, estimator: Any, *, weighted: bool) -> Rows | None:
    """All rows of a node; None if it has none."""
    blocks = list(single(shard, schema, estimator))
    if not blocks:
        return None
    ys = [np.asarray(block.y, dtype=np.float32).reshape(-1) for block in blocks]
    ws = [np.ones(len(block), np.float32) if block.w is None else block.w for block in blocks]
    X = np.concatenate([np.asarray(block.X) for block in blocks])
    ids = [block.qid for block in blocks if block.qid is not None and ranks(estimator)]
    w, qid = np.concatenate(ws) if weighted else None, np.concatenate(ids) if ids else None
    return Rows(X, np.concatenate(ys), w, qid)


@final
class Boosters(Group):
    """The nodes of one process, with their rows in bins and the trees that they have grown."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.tracker: Tracker | None = None
        self.history: Mapping[str, Any] = {}
        self._matrix: xgboost.QuantileDMatrix | None = None
        self._held_out: xgboost.QuantileDMatrix | None = None
        self._booster: xgboost.Booster | None = None
        self._trees = -1

    def forget(self) -> None:
        """Drop bins and trees."""
        self._matrix = self._held_out = self._booster = None

    def build(self, cuts: Sequence[np.ndarray], schema: Schema, estimator: Any, bins: int) -> bool:
        """Put all rows into bins, node by node in the order of their names; False if some are lost."""
        import xgboost

        if self._matrix is not None:
            return True
        if len(self.rows) < len(self.nodes):
            return False
        rows = pooled(self.rows, sorted(self.rows))
        self.rows.clear()
        queries, w = dict[str, np.ndarray](), rows.w
        if rows.qid is not None:
            _, sizes = by_query(rows.qid)
            queries = {"group": sizes}
            w = None if w is None else query_weights(w, sizes, estimator)
        self._matrix = xgboost.QuantileDMatrix(
            rows.X,
            rows.y,
            weight=w,
            feature_names=schema.names,
            max_bin=bins,
            nthread=threads(None),
            ref=reference(cuts, schema.names, bins),
            **queries,
        )
        if (held := rows.held_out) is not None:
            require_weight(held.w)
            self._held_out = xgboost.QuantileDMatrix(
                held.X, held.y, weight=held.w, feature_names=schema.names, max_bin=bins, ref=self._matrix
            )
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
        patience: int | None = None,
    ) -> xgboost.Booster | None:
        """Grow trees; None where the trees before them are lost.

        Args:
            params: of XGBoost.
            trees: how many iterations there are, and how many there are to be.
            known: those that there are, as bytes; empty where the group has them.
            meeting: where processes meet, and which of them this is; None where it is the only one.
            patience: iterations without a better score of the rows held out, after which growth ends.

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
            if patience is not None:
                booster = self._stopped(params, until, patience)
            for iteration in range(since, until if patience is None else since):
                booster.update(self._matrix, iteration)
        self._booster, self._trees = booster, until
        return booster

    def _stopped(self, params: Mapping[str, Any], most: int, patience: int) -> xgboost.Booster:
        """All trees until the score of the rows held out is no longer getting better."""
        import xgboost

        assert self._matrix is not None
        assert self._held_out is not None
        history: dict[str, Any] = {}
        booster = xgboost.train(
            dict(params),
            self._matrix,
            most,
            evals=[(self._held_out, "validation_0")],
            early_stopping_rounds=patience,
            evals_result=history,
            verbose_eval=False,
        )
        self.history = history
        return booster

    def _loaded(self, params: Mapping[str, Any], known: bytes) -> xgboost.Booster:
        import xgboost

        assert self._matrix is not None
        return xgboost.Booster(dict(params), [self._matrix], bytearray(known) if known else None)

"""The nodes of one process, which train as one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, final

from threadpoolctl import threadpool_limits

from talkoot.learners.common.group import Group
from talkoot.learners.trees.held_out import require_weight
from talkoot.learners.xgboost.collective import Address, Tracker, joined
from talkoot.learners.xgboost.rows import Binning, Part

if TYPE_CHECKING:
    import xgboost

    from talkoot.learners.xgboost.matrix import Matrix


@final
class Boosters(Group[Part]):
    """The nodes of one process, with their rows in bins and the trees that they have grown."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.tracker: Tracker | None = None
        self.history: Mapping[str, Any] = {}
        self._matrix: Matrix | None = None
        self._held_out: Matrix | None = None
        self._booster: xgboost.Booster | None = None
        self._trees = -1

    def forget(self) -> None:
        """Drop bins and trees."""
        self._matrix = self._held_out = self._booster = None

    def build(self, how: Binning, estimator: Any) -> None:
        """Put all rows into bins, node by node in the order of their names, or query by query."""
        from talkoot.learners.xgboost.matrix import Matrix, of_queries

        if self._matrix is not None:
            return
        parts = [self.rows[node] for node in sorted(self.rows)]
        ranked = any(part.qid is not None for part in parts)
        self._matrix = of_queries(parts, how, estimator) if ranked else Matrix(parts, how)
        held_out = [part.held_out for part in parts if part.held_out is not None]
        if held_out:
            self._held_out = Matrix(held_out, how, self._matrix)
            require_weight(self._held_out.rows.get_weight() if how.weighted else None)

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
                booster.update(self._matrix.rows, iteration)
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
            self._matrix.rows,
            most,
            evals=[(self._held_out.rows, "validation_0")],
            early_stopping_rounds=patience,
            evals_result=history,
            verbose_eval=False,
        )
        self.history = history
        return booster

    def _loaded(self, params: Mapping[str, Any], known: bytes) -> xgboost.Booster:
        import xgboost

        assert self._matrix is not None
        return xgboost.Booster(dict(params), [self._matrix.rows], bytearray(known) if known else None)

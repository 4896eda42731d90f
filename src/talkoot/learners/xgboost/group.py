"""The nodes of one process, which train as one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, final

from threadpoolctl import threadpool_limits

from talkoot.learners.common.group import Group
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
        self._matrix: Matrix | None = None
        self._booster: xgboost.Booster | None = None
        self._trees = -1

    def forget(self) -> None:
        """Drop bins and trees."""
        self._matrix = self._booster = None

    def build(self, how: Binning) -> None:
        """Put all rows into bins, node by node in the order of their names."""
        from talkoot.learners.xgboost.matrix import Matrix

        if self._matrix is None:
            self._matrix = Matrix([self.rows[node] for node in sorted(self.rows)], how)

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
                booster.update(self._matrix.rows, iteration)
        self._booster, self._trees = booster, until
        return booster

    def _loaded(self, params: Mapping[str, Any], known: bytes) -> xgboost.Booster:
        import xgboost

        assert self._matrix is not None
        return xgboost.Booster(dict(params), [self._matrix.rows], bytearray(known) if known else None)

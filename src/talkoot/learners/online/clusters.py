"""k-means whose centers are the means of the rows that were nearest to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from talkoot.core.errors import PlanError
from talkoot.learners.online.checking import checked
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.merging import moments_apply, moments_change
from talkoot.learners.online.model import Floats, OnlineModel, Task
from talkoot.learners.online.state import State


@final
@dataclass(frozen=True)
class KMeans(OnlineModel):
    """MacQueen's k-means over numbers, measured in deviations of the rows so far.

    Centers begin at places drawn from the seed, the same at all nodes, so that clusters are numbered alike.

    Args:
        clusters: how many.
        least_share: the least share by which a row moves its center; more than 0 follows streams that change.

    >>> import talkoot as tk
    >>> tk.online.KMeans(3).task
    'clusters'
    """

    merges: ClassVar[bool] = True
    clusters: int = 8
    least_share: float = 0.0

    def __post_init__(self) -> None:
        if self.clusters < 1 or not 0 <= self.least_share < 1:
            raise PlanError("clusters are 1 or more, and 0 <= least_share < 1")

    @property
    def task(self) -> Task:
        """What is predicted."""
        return "clusters"

    def start(self, layout: Layout, seed: int) -> State:
        """Centers without rows."""
        if layout.categories or not layout.numbers:
            raise PlanError("k-means reads numbers alone", cure="Name the columns of numbers to read.")
        shape = (self.clusters, len(layout.numbers))
        return {
            "centers": np.zeros(shape),
            "counts": np.zeros(self.clusters),
            "first": np.random.default_rng(seed).normal(size=shape),
            "moments": np.zeros((3, shape[1])),
        }

    def learn(self, state: State, rows: Features, y: Floats, w: Floats | None = None) -> NDArray[Any]:
        """Learn rows in their order, in place; the nearest center of each before; labels are not read."""
        from talkoot.kernels.clusters import k_means

        none = np.full(len(rows), np.nan)
        width = state["moments"].shape[1]
        numbers, _, _, weights = checked(rows, none, w, numbers=width, categories=False, classes=0)
        nearest: NDArray[Any] = k_means(
            numbers,
            weights,
            state["centers"],
            state["counts"],
            state["first"],
            state["moments"],
            self.least_share,
        )
        return nearest

    def predict(self, state: State, rows: Features) -> NDArray[Any]:
        """The number of the nearest center."""
        return self.learn(state, rows, np.empty(0), np.zeros(len(rows)))

    def change(self, state: State, before: State) -> State:
        """Rows of each cluster since `before`, and the sum of how far they moved its center."""
        return {
            "counts": state["counts"] - before["counts"],
            "moved": state["counts"][:, None] * (state["centers"] - before["centers"]),
            "moments": moments_change(state["moments"], before["moments"]),
        }

    def apply(
        self, state: State, change: State, nodes: int, *, careful: bool = False, among: int | None = None
    ) -> State:
        """A new state whose centers are the means of the rows of all nodes."""
        counts = state["counts"] + change["counts"]
        moved = change["moved"] / np.maximum(counts, 1e-300)[:, None]
        moments = moments_apply(state["moments"], change["moments"])
        centers = np.where(counts[:, None] > 0, state["centers"] + moved, 0.0)
        return state | {"counts": counts, "centers": centers, "moments": moments}

"""Places from counts: near the wanted ranks, and the same for any division of rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from talkoot.core.update import Update
from talkoot.learners.sums.coarse_selection import CoarseSelection
from talkoot.learners.sums.counting import counted
from talkoot.learners.sums.selection import Totals

FEW = 5
COLUMNS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "few values": lambda rng, n: rng.integers(-3, 4, n).astype(float),
    "wide": lambda rng, n: rng.normal(size=n) * 10.0 ** rng.integers(-300, 300, n),
    "missing": lambda rng, n: np.where(rng.random(n) < 0.3, np.nan, rng.exponential(size=n)),
    "constant": lambda rng, n: np.full(n, 7.0),
    "infinite": lambda rng, n: np.where(rng.random(n) < 0.2, np.inf, -rng.random(n)),
}


def places(parts: list[np.ndarray], bins: int) -> tuple[np.ndarray, int]:
    """The places of a column that lies at several nodes, and the rounds that this took."""

    def wanted(totals: Totals) -> list[np.ndarray]:
        count = int(totals.counts[0])
        return [np.array([k * count // bins for k in range(1, bins)] if count else [], dtype=np.int64)]

    search, rounds = CoarseSelection.start(1, sum(map(len, parts)), FEW), 0
    while not search.done:
        update = Update()
        for part in parts:
            blocks = [(part[:, None], None)] if len(part) else []
            update += counted(blocks, search.ranges, None, features=1, nodes=len(parts), zeros=False)[0]
        search, rounds = search.narrow(update.values, wanted), rounds + 1
    return search.places(0), rounds


@given(st.sampled_from(sorted(COLUMNS)), st.integers(1, 400), st.integers(2, 12), st.integers(0, 99))
def test_places_divide_values_about_evenly(kind: str, rows: int, bins: int, seed: int) -> None:
    column = COLUMNS[kind](np.random.default_rng(seed), rows)
    known = np.sort(column[~np.isnan(column)])
    if not len(known):
        return
    found, rounds = places([column], bins)
    spread, _ = places([column[k::3] for k in range(3)], bins)
    np.testing.assert_array_equal(found, spread)
    assert rounds <= 17
    reached = np.searchsorted(known, found, side="right")
    for rank in {k * len(known) // bins for k in range(1, bins)}:
        equal = np.sum(known == known[rank])
        above = reached[reached > rank]
        assert len(above), "the place of a rank lies at or above its value"
        assert above[0] - rank <= max(FEW, equal)

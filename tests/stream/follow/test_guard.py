"""Merges of many nodes: where the sum of changes overshoots, the mean is taken, and no row counts twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np
import pyarrow as pa
import pytest
from tiny import Tiny

import talkoot as tk
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.linear import Logistic
from talkoot.learners.online.model import Floats, OnlineModel, Task
from talkoot.learners.online.state import State
from talkoot.stream.sources.memory import Memory

NODES, ROWS = 8, 2000


@final
@dataclass(frozen=True, slots=True)
class Unguarded(OnlineModel):
    """The same model, of which only the sum over the root of the nodes is ever taken."""

    model: Logistic = field(default_factory=Logistic)
    merges: ClassVar[bool] = True

    @property
    def task(self) -> Task:
        return "binary"

    def start(self, layout: Layout, seed: int) -> State:
        return self.model.start(layout, seed)

    def learn(self, state: State, rows: Features, y: Floats, w: Floats | None = None) -> Any:
        return self.model.learn(state, rows, y, w)

    def predict(self, state: State, rows: Features) -> Any:
        return self.model.predict(state, rows)

    def change(self, state: State, before: State) -> State:
        return self.model.change(state, before)

    def apply(
        self, state: State, change: State, nodes: int, *, careful: bool = False, among: int | None = None
    ) -> State:
        return self.model.apply(state, change, nodes, among=among)


def source(rows: int = ROWS) -> Memory:
    """Rows of eight nodes whose label hangs on numbers that go together, with noise."""
    rng, tables = np.random.default_rng(0), {}
    for node in range(NODES):
        common = rng.normal(size=(rows, 1))
        x = common + 0.3 * rng.normal(size=(rows, 6))
        y = common[:, 0] + rng.normal(size=rows) > 0
        tables[str(node)] = pa.table({**{f"x{i}": x[:, i] for i in range(6)}, "y": y})
    return Memory(tables)


def losses(model: OnlineModel, **given: Any) -> tuple[float, Any]:
    found = tk.follow(model, source(), "y", nodes=NODES, **given)
    return found.metrics["log_loss"], found


RATE = 0.3
SYNC = tk.every(rows=200)


def test_where_the_sum_overshoots_the_mean_is_taken() -> None:
    model = Logistic(tk.online.SGD(RATE))
    plain, _ = losses(Unguarded(model), sync=SYNC)
    guarded, found = losses(model, sync=SYNC)
    constant = np.log(2)
    assert plain > 1.5 * constant
    assert guarded < constant
    assert not found.following.merge.bold
    assert found.following.merge.other  # both ways go on being scored
    assert sum(report.learned for report in found.following.reports.values()) == NODES * ROWS


def test_where_changes_may_be_added_they_are() -> None:
    found = losses(Logistic(tk.online.AdaGrad(0.02)), sync=SYNC)[1]
    assert found.following.merge.bold


def test_without_barriers_rows_count_once_and_the_loss_stays_bounded() -> None:
    sync = tk.every(rows=200, quorum=1, grace=0)
    loss, found = losses(Logistic(tk.online.SGD(RATE)), sync=sync, on=tk.Inline(4))
    assert loss < 1.0  # what comes first hangs on the machine; unguarded it is 1.34
    assert found.following.states[""]["moments"][0].tolist() == [NODES * ROWS] * 6


@pytest.mark.parametrize("model", [Tiny(), Logistic()], ids=["exact", "averaged"])
def test_the_guard_goes_on_after_a_stop_as_if_there_was_none(tmp_path: Any, model: OnlineModel) -> None:
    given: Any = {"nodes": NODES, "sync": SYNC}
    whole = tk.follow(model, source(600), "y", **given)
    for until in (1600, "end"):
        found = tk.follow(model, source(600), "y", store=tmp_path, until=until, **given)
    assert found.metrics == whole.metrics
    assert bool(whole.following.merge.other) == isinstance(model, Logistic)

"""Windows as features of a followed stream: the same bits live, in a replay, and on any nodes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import talkoot as tk
from examples import examples
from talkoot.core.errors import DataError, PlanError
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.model import Floats, OnlineModel, Task
from talkoot.learners.online.state import State, equal
from talkoot.stream.sources.memory import Memory

SPENT = tk.features(
    tk.window("1m", "count", "sum", by="card", of="amount"),
    tk.window("5m", "mean", by="shop", of="fraud"),
    time="at",
    target="fraud",
    arrives="20s",
)


def payments(rows: int, seed: int = 0, cards: str = "abc") -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "at": np.arange(rows, dtype=float),
            "card": rng.choice([f"{seed}{card}" for card in cards], rows),
            "shop": rng.choice([f"{seed}x", f"{seed}y"], rows),
            "amount": rng.integers(1, 9, rows).astype(float),
            "fraud": rng.random(rows) < 0.4,
        }
    )


@final
@dataclass(frozen=True, slots=True)
class Recorder(OnlineModel):
    """Holds the features of all rows that it learned from."""

    merges: ClassVar[bool] = False

    @property
    def task(self) -> Task:
        return "binary"

    def start(self, layout: Layout, seed: int) -> State:
        return {"rows": np.zeros((0, len(layout.numbers) + 1))}

    def learn(self, state: State, rows: Features, y: Floats, w: Floats | None = None) -> Floats:
        state["rows"] = np.concatenate([state["rows"], np.column_stack([rows.numbers, y])])
        return np.full(len(y), 0.5)

    def predict(self, state: State, rows: Features) -> Floats:
        return np.full(len(rows), 0.5)


DATA = payments(400)
NAMES = SPENT.names


def seen(found: tk.Followed, node: str = "node0") -> np.ndarray:
    """The columns of windows of the rows that a node learned, in that order."""
    return found.following.states[node]["rows"][:, -1 - len(NAMES) : -1]


def replayed(data: pa.Table) -> np.ndarray:
    """What one pass over a table gives."""
    batch = SPENT.apply(SPENT.start(), data.combine_chunks().to_batches()[0])
    columns = [batch.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False) for name in NAMES]
    return np.column_stack(columns)


@examples(16)
@given(at=st.lists(st.integers(0, 400), max_size=4), rows=st.integers(30, 500))
def test_a_followed_stream_sees_what_one_pass_sees(at: list[int], rows: int) -> None:
    edges = [0, *sorted(at), 400]
    parts = [DATA.slice(low, high - low) for low, high in pairwise(edges)]
    found = tk.follow(Recorder(), parts, "fraud", features=SPENT, sync=tk.every(rows=rows))
    assert np.array_equal(seen(found), replayed(DATA), equal_nan=True)


def test_each_partition_has_its_own_windows_on_any_nodes(tmp_path: Path) -> None:
    tables = {"0": payments(200, 1), "1": payments(150, 2)}
    for until in (100, 130, "end"):
        two = tk.follow(
            Recorder(), Memory(tables), "fraud", features=SPENT, nodes=2, sync=tk.every(rows=40),
            store=tmp_path, until=until,
        )  # fmt: skip
    for node, data in zip(("node0", "node1"), tables.values(), strict=True):
        assert np.array_equal(seen(two, node), replayed(data), equal_nan=True)
    one = tk.follow(Recorder(), Memory(tables), "fraud", features=SPENT, sync=tk.every(rows=40))
    rows = sorted(map(tuple, np.nan_to_num(seen(one), nan=-1).tolist()))
    both = np.concatenate([seen(two, "node0"), seen(two, "node1")])
    assert rows == sorted(map(tuple, np.nan_to_num(both, nan=-1).tolist()))
    with pytest.raises(DataError, match="several partitions"):
        two.model.predict(DATA.slice(0, 1))


def test_a_key_in_two_partitions_is_refused() -> None:
    both = Memory({"0": payments(100, 1), "1": payments(100, 1)})
    with pytest.raises(DataError, match="column 'card': partitions '0' and '1' have rows of the same key"):
        tk.follow(Recorder(), both, "fraud", features=SPENT)
    keyless = tk.features(tk.window("1m", "count"), time="at")
    with pytest.raises(PlanError, match="count_1m looks at all rows, and they are in 2 partitions"):
        tk.follow(Recorder(), both, "fraud", features=keyless)


def test_a_snapshot_sees_what_the_next_row_would() -> None:
    found = tk.follow(tk.online.Logistic(), DATA, "fraud", features=SPENT)
    row = {"at": [400.0], "card": ["0a"], "shop": ["0x"], "amount": [3.0]}
    given = SPENT.apply(SPENT.start(), pa.concat_tables([DATA, DATA]).combine_chunks().to_batches()[0])
    assert len(given)
    more = pa.concat_tables([DATA, pa.table({**row, "fraud": [False]})]).combine_chunks()
    columns = SPENT.apply(SPENT.start(), more.to_batches()[0]).slice(400, 1)
    assert (found.model.predict_proba(row) == found.model.predict_proba(columns)).all()


def test_rows_that_windows_cannot_read_are_set_aside() -> None:
    amounts = DATA["amount"].to_numpy().copy()
    amounts[[5, 77]] = np.inf
    data = DATA.set_column(3, "amount", pa.array(amounts))
    found = tk.follow(Recorder(), data, "fraud", features=SPENT, sync=tk.every(rows=90))
    assert sum(found.rejected.values()) == 2
    assert all("windows cannot read column 'amount'" in why for why in found.rejected)
    rest = data.filter(pa.array(np.isfinite(amounts)))
    assert np.array_equal(seen(found), replayed(rest), equal_nan=True)


def test_late_labels_reach_windows_over_the_target_when_they_arrive() -> None:
    ids = pa.array([str(i) for i in range(400)])
    rows = DATA.drop_columns(["fraud"]).append_column("id", ids)
    labels = pa.table({"id": ids, "known": DATA["at"].to_numpy() + 20, "fraud": DATA["fraud"]})
    late = tk.Labels(labels, id="id", time="at", arrives="known")
    spent = tk.features(*SPENT.windows, time="at", target="fraud", arrives="known")
    found = tk.follow(Recorder(), rows, "fraud", labels=late, features=spent, sync=tk.every(rows=50))
    assert found.following.reports["node0"].learned == 400
    of_amounts, of_labels = np.split(seen(found), [2], axis=1)
    expected = replayed(DATA)
    assert (of_amounts == expected[:, :2]).all()
    counted = [_mean_of_arrived(at, at // 50 * 50, DATA) for at in range(400)]  # learned behind each round
    assert np.array_equal(of_labels[:, 0], np.array(counted), equal_nan=True)
    with pytest.raises(PlanError, match="differ"):
        tk.follow(Recorder(), rows, "fraud", labels=late, features=SPENT)


def _mean_of_arrived(at: int, start: int, data: pa.Table) -> float:
    """The mean label of the shop's rows whose labels had arrived when the round began."""
    times, shops, frauds = (data[name].to_numpy(zero_copy_only=False) for name in ("at", "shop", "fraud"))
    some = (times + 20 <= start - 2) & (times > at - 300) & (shops == shops[at])
    return float(frauds[some].mean()) if some.any() else float("nan")


def test_windows_that_cannot_be_are_refused(tmp_path: Path) -> None:
    blind: Any = tk.features(tk.window("5m", "mean", by="shop", of="fraud"), time="at")
    with pytest.raises(PlanError, match="looks at the target, whose values are not known when rows come"):
        tk.follow(Recorder(), DATA, "fraud", features=blind)
    with pytest.raises(PlanError, match="Name one of them"):
        tk.follow(Recorder(), DATA, "fraud", features=SPENT, time="amount")
    with pytest.raises(DataError, match="cards"):
        tk.follow(
            Recorder(), DATA, "fraud", features=tk.features(tk.window("1m", "count", by="cards"), time="at")
        )
    tk.follow(Recorder(), DATA, "fraud", features=SPENT, store=tmp_path)
    with pytest.raises(PlanError, match="of another run: .*features was"):
        tk.follow(Recorder(), DATA, "fraud", store=tmp_path)


def test_a_model_learns_from_windows() -> None:
    rng, n = np.random.default_rng(0), 6000
    data = payments(n, cards="abcdefghijklmnop")
    often = SPENT.apply(SPENT.start(), data.combine_chunks().to_batches()[0]).column(
        "amount_count_1m_by_card"
    )
    busy = often.to_numpy() + rng.normal(size=n) > 4
    data = data.set_column(4, "fraud", pa.array(busy))
    with_windows = tk.follow(tk.online.Logistic(), data, "fraud", features=SPENT)
    without = tk.follow(tk.online.Logistic(), data, "fraud", time="at")
    assert with_windows.metrics["accuracy"] > without.metrics["accuracy"] + 0.1
    again = tk.follow(tk.online.Logistic(), data, "fraud", features=SPENT, sync=tk.every(rows=700))
    assert equal(again.following.states["node0"], with_windows.following.states["node0"])

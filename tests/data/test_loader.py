from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from patience import patient, soon
from talkoot.core.errors import DataError, PlanError
from talkoot.data.loading.loader import Batch, Loader, apportion
from talkoot.data.loading.prefetch import Prefetcher
from talkoot.data.loading.shuffle import Shuffle
from talkoot.data.samples.samples import Samples, samples

ROWS = 1000


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "talkoot-loader" and t.is_alive()]


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    before = len(threads())
    yield
    assert len(threads()) == before


class Slow:
    """A dataset whose items say when they were read, and one of which may be broken."""

    def __init__(self, broken: int | None = None) -> None:
        self.read: list[int] = []
        self.broken = broken

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        self.read.append(index)
        if index == self.broken:
            raise OSError("the disk is gone")
        return np.full(3, index, np.float32), index


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Far(Samples):
    """Rows that are far away, and say when they were read."""

    read: list[int] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return ROWS

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, None]:
        self.read.extend(indices.tolist())
        return np.repeat(indices[:, np.newaxis], 3, axis=1), None


class Random:
    """A dataset that draws from every generator there is, each item from some of them."""

    def __len__(self) -> int:
        return 50

    def __getitem__(self, index: int) -> tuple[torch.Tensor, float]:
        drawn = [torch.rand(2), torch.full((1,), index), torch.zeros(2)]
        if index % 5 == 3:
            drawn[2] = torch.tensor([np.random.rand(), np.random.normal()])
        return torch.cat(drawn).float(), random.random() if index % 7 == 3 else 0.0


@pytest.fixture(params=["arrays", "files", "dataset", "map"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Samples:
    X, y = np.arange(ROWS, dtype=np.float32)[:, np.newaxis] * np.ones(3, np.float32), np.arange(ROWS)
    made: Any = Slow()
    if request.param == "arrays":
        made = (X, y)
    if request.param == "files":
        table = pa.table({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "t": y})
        for i in range(2):
            pq.write_table(table.slice(500 * i, 500), tmp_path / f"{i}.parquet", row_group_size=30)
        return samples(tmp_path, "t")["node0"]
    if request.param == "map":
        np.save(tmp_path / "X.npy", X)
        made = (np.load(tmp_path / "X.npy", mmap_mode="r"), y)
    return samples(made)["node0"]


@pytest.mark.parametrize("nodes", [1, 2, 3, 7])
def test_nodes_together_read_what_one_node_would_in_its_order(source: Samples, nodes: int) -> None:
    shares = source.share([f"node{i}" for i in range(nodes)])
    feeds = [Loader([share], batch=64, seed=5) for share in shares]
    with Loader([source], batch=64, seed=5) as alone:
        for step in (*range(20), 100, 3):
            want, parts = alone.at(step), [feed.at(step) for feed in feeds]
            assert want.rows == 64
            assert np.array_equal(np.concatenate([part.X for part in parts]), want.X)
            y = np.concatenate([part.y for part in parts if part.y is not None])
            assert want.y is not None
            assert np.array_equal(y, want.y)
            assert max(p.rows for p in parts) - min(p.rows for p in parts) <= 1
    for feed in feeds:
        feed.close()


def test_nodes_of_one_process_read_as_if_each_had_its_own(source: Samples) -> None:
    shares = source.share(["a", "b", "c"])
    with Loader(shares[1:], batch=32, seed=0) as both, Loader([source], batch=32, seed=0) as alone:
        for step in range(5):
            assert np.array_equal(both.at(step).X, alone.at(step).X[32 // 3 :])


def test_an_epoch_reads_every_sample_once_with_its_target(source: Samples) -> None:
    with Loader([source], batch=50, seed=1) as feed:
        batches = [feed.at(step) for step in range(ROWS // 50)]
    y = np.concatenate([b.y for b in batches if b.y is not None])
    assert np.array_equal(np.sort(y), np.arange(ROWS))
    assert np.array_equal(np.concatenate([b.X for b in batches])[:, 1], y.astype(np.float32))


def test_a_run_may_go_on_at_any_step_with_the_same_batches(source: Samples) -> None:
    with Loader([source], batch=24, seed=2) as feed:
        before = [feed.at(step).X for step in range(60)]
    with Loader([source], batch=24, seed=2) as feed:
        for step in (*range(41, 60), 5, 5, 6, 0):
            assert np.array_equal(feed.at(step).X, before[step])


def test_sources_of_their_own_read_their_quota_of_a_batch() -> None:
    nodes = samples({"a": np.zeros((30, 2)), "b": np.ones((10, 2))})
    quotas = apportion(8, {node: source.rows for node, source in nodes.items()})
    sources = [replace(source, quota=quotas[node]) for node, source in nodes.items()]
    with Loader(sources, batch=8, seed=0) as feed:
        assert feed.at(4).X[:, 0].tolist() == [0.0] * 6 + [1.0] * 2
        assert feed.at(4).y is None


def test_batches_smaller_than_the_number_of_nodes_leave_some_without_rows(source: Samples) -> None:
    shares = source.share(["a", "b", "c"])
    feeds = [Loader([share], batch=2, seed=0) for share in shares]
    batches = [feed.at(0) for feed in feeds]
    assert [batch.rows for batch in batches] == [0, 1, 1]
    assert batches[0].X.shape == (0, 3)
    for feed in feeds:
        feed.close()


@pytest.mark.parametrize(
    ("other", "match"),
    [
        ((np.zeros((5, 3)), np.zeros(5, int)), r"node 'b': its samples are float64 of shape \(3,\).* of 'a'"),
        ((np.zeros((5, 2), int), np.zeros(5, int)), r"node 'b': its samples are int64 .* 'a' are float64"),
        ((np.zeros((5, 2)), np.zeros(5)), r"node 'b': its targets are float64 .* 'a' are int64"),
        (np.zeros((5, 2)), r"node 'b': its targets are missing, .* 'a'"),
    ],
)
def test_nodes_whose_samples_differ_are_both_named(other: Any, match: str) -> None:
    nodes = samples({"a": (np.zeros((5, 2)), np.zeros(5, int)), "b": other})
    with Loader(list(nodes.values()), batch=4, seed=0) as feed, pytest.raises(DataError, match=match):
        feed.at(0)


def test_the_next_steps_are_read_before_they_are_asked_for() -> None:
    data = Far(name="a")
    with Loader([data], batch=8, seed=0, prefetch=3) as feed:
        feed.at(0)
        assert soon(lambda: len(data.read) >= 8 * 4)
        time.sleep(0.05)
        assert len(data.read) <= 1 + 8 * (1 + 3 + 16), "but not all of them"
        assert len(threads()) == 1


def test_what_the_users_code_makes_is_read_by_the_thread_that_trains() -> None:
    data = Slow()
    with Loader([samples(data)["node0"]], batch=8, seed=0, prefetch=3) as feed:
        before = len(data.read)
        feed.at(0)
        feed.at(0)
        assert threads() == []
        assert len(data.read) == before + 8, "a batch that is asked for twice is read once"


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_each_sample_draws_random_numbers_of_its_own_whoever_reads_it(nodes: int) -> None:
    shares = samples(Random())["node0"].share([f"node{i}" for i in range(nodes)])
    feeds = [Loader([share], batch=16, seed=5) for share in shares]
    want = [_drawn(samples(Random())["node0"], step, seed=5) for step in range(8)]
    for step in (3, 0, 7, 7, 5):
        np.random.seed(step)
        torch.rand(step + 1)
        parts = [feed.at(step) for feed in feeds]
        assert np.array_equal(np.concatenate([part.X for part in parts]), want[step][0])
        assert np.array_equal(np.concatenate([part.y for part in parts if part.y is not None]), want[step][1])
    for feed in feeds:
        feed.close()
    every = np.concatenate([X[:, 0] for X, _ in want])
    assert len(np.unique(every)) == len(every), "in every epoch others"
    assert not np.array_equal(_drawn(samples(Random())["node0"], 0, seed=6)[0], want[0][0])


def _drawn(source: Samples, step: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    with Loader([source], batch=16, seed=seed) as feed:
        batch = feed.at(step)
    assert batch.y is not None
    return batch.X, batch.y


def test_nodes_with_datasets_of_their_own_draw_other_numbers() -> None:
    nodes = samples({"a": Random(), "b": Random()})
    with Loader(list(nodes.values()), batch=50, seed=0) as feed:
        batch = feed.at(0)
    assert len(np.unique(batch.X[:, 0])) == 100


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_error_is_raised_where_it_is_met_with_the_node_and_may_be_tried_again(prefetch: int) -> None:
    data = Slow(broken=17)
    source = samples({"va": data})["va"]
    with Loader([source], batch=100, seed=0, prefetch=prefetch) as feed:
        met = int(np.flatnonzero(Shuffle(rows=ROWS, seed=0, key="va").at(0, ROWS) == 17)[0]) // 100
        for step in range(met):
            assert feed.at(step).rows == 100
        with pytest.raises(DataError, match="node 'va': .*OSError: the disk is gone") as raised:
            feed.at(met)
        assert isinstance(raised.value.__cause__, OSError)
        data.broken = None
        assert feed.at(met).rows == 100


def test_closing_ends_the_thread_at_once_and_twice_is_fine() -> None:
    feed = Loader([Far(name="a")], batch=8, seed=0)
    feed.at(0)
    assert len(threads()) == 1
    feed.close()
    assert threads() == []
    feed.close()
    with pytest.raises(DataError, match="the loader was closed"):
        feed.at(1)


def test_who_waits_is_told_when_another_thread_closes() -> None:
    gate = threading.Event()
    ahead = Prefetcher(lambda step: [gate.wait(patient())], 2)
    closer = threading.Timer(0.05, ahead.close)
    closer.start()
    with pytest.raises(DataError, match="the loader was closed"):
        ahead.at(0)
    gate.set()
    closer.join(patient())


def test_arrays_in_memory_need_no_thread() -> None:
    with Loader([samples(np.eye(9))["node0"]], batch=4, seed=0) as feed:
        feed.at(0)
        assert threads() == []


def test_reading_ahead_gives_each_step_its_own_whatever_the_order() -> None:
    rng, ahead = np.random.default_rng(0), Prefetcher(lambda step: range(step, step + 1 + step % 5), 3)
    for step in rng.integers(0, 40, 500).tolist():
        assert ahead.at(step) == step
    ahead.close()


def test_reading_ahead_does_not_wait_for_what_is_no_longer_wanted() -> None:
    gate = threading.Event()

    def read(step: int) -> list[int]:
        if step == 1:
            gate.wait(patient())
        return [step]

    ahead = Prefetcher(read, 2)
    assert ahead.at(0) == 0
    threading.Timer(0.05, gate.set).start()
    assert ahead.at(70) == 70, "the thread was busy with step 1, whose answer is dropped"
    assert ahead.at(1) == 1
    ahead.close()


def test_a_batch_is_a_value() -> None:
    with pytest.raises(AttributeError):
        Batch(np.zeros(1), None, 1).rows = 2  # type: ignore[misc]


COUNTS = st.dictionaries(st.text("abcdef", min_size=1), st.integers(1, 10**6), min_size=1, max_size=8)


@given(COUNTS, st.integers(0, 5000))
def test_shares_of_a_batch_are_whole_positive_and_near_their_proportion(
    rows: dict[str, int], more: int
) -> None:
    batch, total = len(rows) + more, sum(rows.values())
    shares = apportion(batch, rows)
    assert list(shares) == list(rows)
    assert sum(shares.values()) == batch
    assert min(shares.values()) >= 1
    quotas = {node: batch * count / total for node, count in rows.items()}
    if min(quotas.values()) >= 1:
        assert all(abs(shares[node] - quotas[node]) < 1 for node in rows)
    assert apportion(batch, dict(reversed(rows.items()))) == shares


def test_a_batch_needs_a_row_for_every_node() -> None:
    with pytest.raises(PlanError, match="Take batch=3 or more"):
        apportion(2, {"a": 1, "b": 1, "c": 1})

"""Which engine is chosen, and what is said about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder

import talkoot as tk
from talkoot.core.shard import Block, Shard
from talkoot.engines import choose as module
from talkoot.engines.choose import choose, values
from talkoot.engines.inline import Inline
from talkoot.engines.local import Local
from talkoot.learners import learner_for


class Pool:
    """A pool that is warm, or is not."""

    def __init__(self, warmed: bool) -> None:
        self.warmed = warmed


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 4)
    monkeypatch.setattr(module, "POOL", Pool(warmed=False))


def table(rows: int, nodes: int | None = None) -> Mapping[str, Shard]:
    X = np.broadcast_to(np.zeros(10), (rows, 10))
    return tk.shards(X, np.broadcast_to(np.zeros(1), (rows, 1))[:, 0], nodes=nodes)


class Unknown(Shard):
    """A shard of somebody else's."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def blocks(self) -> Iterator[Block]:
        return iter(())


LINEAR, TEXT = learner_for(LogisticRegression()), learner_for(OneHotEncoder())


@pytest.mark.parametrize(
    ("learner", "rows", "nodes", "engine", "said"),
    [
        (LINEAR, 1_000, 3, Inline(), "one thread of this process: 10000 values are too few to share out"),
        (
            LINEAR,
            1_000_000,
            3,
            Inline(threads=3),
            "3 threads of this process: the kernels of LogisticRegression",
        ),
        (LINEAR, 1_000_000, 7, Inline(threads=4), "4 threads of this process"),
        (LINEAR, 1_000_000, None, Inline(threads=4), "4 threads of this process"),
        (
            TEXT,
            1_000_000,
            3,
            Inline(),
            "OneHotEncoder holds the interpreter, and worker processes do not pay",
        ),
        (TEXT, 6_000_000, 3, Local(3), "3 worker processes: OneHotEncoder holds the interpreter"),
        (TEXT, 6_000_000, 50, Local(4), "4 worker processes"),
        (TEXT, 6_000_000, None, Local(4), "4 worker processes"),
    ],
)
def test_the_choice_follows_the_work_and_the_reason_says_so(
    learner: Any, rows: int, nodes: int | None, engine: Any, said: str
) -> None:
    got, reason = choose(learner, table(rows, nodes))
    assert got == engine
    assert said in reason
    assert "\n" not in reason


def test_warm_workers_pay_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POOL", Pool(warmed=True))
    assert choose(TEXT, table(1_000_000, 3))[0] == Local(3)
    assert choose(TEXT, table(1_000, 3))[0] == Inline()


def test_on_one_core_there_is_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 1)
    assert choose(LINEAR, table(6_000_000, 3)) == (
        Inline(),
        "one thread of this process: it is all that may be used",
    )


def test_systems_that_cannot_fork_get_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.fork")
    assert choose(TEXT, table(6_000_000, 3))[0] == Inline()


def test_work_is_counted_in_values(tmp_path: Any) -> None:
    assert values(table(1_000, 3)) == 10_000
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    assert values(tk.shards(str(path))) == 1, "eight bytes"
    path.write_text("a,b\n" + "1,2\n" * 20_000)
    assert values(tk.shards({"a": str(path), "b": str(path)})) == 10_000, "one file, though two nodes read it"


def test_rows_that_nobody_can_count_are_taken_to_be_many() -> None:
    shards = {name: Unknown(name) for name in "abc"}
    assert values(shards) is None
    assert choose(TEXT, shards)[0] == Local(3)
    assert choose(LINEAR, shards)[0] == Inline(threads=3)

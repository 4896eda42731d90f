"""Queries: one round, whose answers stay apart by node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import pytest

import talkoot as tk
from talkoot.core.errors import DataError
from talkoot.core.learner import Learner
from talkoot.core.query import Answer, Answers, Query
from talkoot.core.shard import Mapped, Shard
from talkoot.data.tables.source import Source

pytestmark = pytest.mark.wide


@final
@dataclass(frozen=True)
class Firsts(Query):
    """The first row of each node."""

    step_name: ClassVar[str] = "looking at first rows"

    def answer(self, shard: Shard) -> Answer:
        block = next(shard.blocks(), None)
        if block is None or not len(block):
            return {}
        if block.X[0, 0] < 0:
            raise DataError("the first number is negative")
        return {"first": block.X[0], "sizes": np.array([len(block)])}


@pytest.mark.parametrize("engine", [tk.Inline(), tk.Inline(threads=2), tk.Local(2)])
def test_answers_are_by_node_and_nodes_without_rows_are_left_out(engine: tk.Engine) -> None:
    data = tk.shards({"b": np.full((2, 3), 1.0), "a/c": np.full((4, 3), 2.0), "none": np.empty((0, 3))})
    found = Firsts().run(data, engine)
    firsts = {node: answer["first"].tolist() for node, answer in found.items()}
    assert firsts == {"b": [1] * 3, "a/c": [2] * 3}


def test_an_error_names_the_node_and_the_query() -> None:
    data = tk.shards({"good": np.ones((2, 1)), "bad": -np.ones((2, 1))})
    with pytest.raises(DataError, match="^node 'bad', looking at first rows: the first number is negative"):
        Firsts().run(data, tk.Inline())


def test_nodes_need_to_know_nothing_of_the_answers() -> None:
    learner: Learner = Firsts()
    assert learner.question(Answers({"a": {"first": np.ones(9)}})) is None


@final
@dataclass(frozen=True)
class Sources(Query):
    """Whether nodes have sources, which it reads."""

    reads: ClassVar[type[Shard]] = Source

    def answer(self, shard: Shard) -> Answer:
        return {"yes": np.ones(1)}


def test_a_shard_of_another_kind_is_refused_at_its_node() -> None:
    data = {"rows": Mapped(tk.shards(np.eye(2))["node0"], lambda block: block)}
    with pytest.raises(tk.PlanError, match="^node 'rows', round 0: Sources reads Source, .* has a Mapped"):
        Sources().run(data, tk.Inline())
    assert list(Sources().run(tk.shards(np.eye(2)), tk.Inline())) == ["node0"]

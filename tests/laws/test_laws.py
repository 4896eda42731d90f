"""The five laws for every part that Talkoot ships."""

from __future__ import annotations

import numpy as np
import pytest

from talkoot import Gather, Inline, Median, Sum, TrimmedMean, weigh
from talkoot.core.engine import Engine
from talkoot.core.merge import Merge
from talkoot.core.transform import Transform
from talkoot.testing import check_engine, check_learner, check_merge, check_transform
from talkoot.testing.toys import Count, Walk


@pytest.mark.parametrize("merge", [Sum(), Median(), TrimmedMean(0.2)])
def test_merges(merge: Merge) -> None:
    check_merge(merge)


@pytest.mark.parametrize("transform", [weigh("rows"), weigh("nodes")])
def test_transforms(transform: Transform) -> None:
    check_transform(transform)


@pytest.mark.parametrize("engine", [Inline(), Inline(threads=3)])
def test_engines(engine: Engine) -> None:
    check_engine(engine)


@pytest.mark.parametrize("learner", [Count(), Walk()])
def test_toy_learners(learner: Count | Walk) -> None:
    check_learner(learner, np.random.default_rng(1).normal(size=(60, 3)))


def test_gathered_updates_are_told_apart() -> None:
    from talkoot import Update

    one = Update(values={"n": np.ones(1)}, weight=1.0)
    split = Gather.split(Gather().merge({"a": one, "b": one})[0])
    assert sorted(split) == ["a", "b"]

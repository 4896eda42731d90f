"""The generators follow their seed, and drift changes the rule where it should."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from talkoot.testing.agrawal import agrawal
from talkoot.testing.streams import drifting, hyperplane, led, random_tree, sea

ALL = [sea, agrawal, hyperplane, random_tree, led]


def labels(batch: pa.RecordBatch) -> np.ndarray:
    return np.asarray(batch.column("label").to_numpy())


@pytest.mark.parametrize("make", ALL)
def test_a_seed_gives_the_same_rows_and_another_others(make: Callable[..., pa.RecordBatch]) -> None:
    assert make(200, seed=1).equals(make(200, seed=1))
    assert not make(200, seed=1).equals(make(200, seed=2))


@pytest.mark.parametrize("make", ALL)
def test_concepts_differ_in_the_label_alone_or_in_places_and_both_classes_appear(
    make: Callable[..., pa.RecordBatch],
) -> None:
    first, second = make(3000, seed=1, concept=0), make(3000, seed=1, concept=2)
    assert not first.equals(second)
    for batch in (first, second):
        shares = np.bincount(labels(batch)) / 3000
        assert shares.size >= 2
        assert shares.min() > 0.02


@pytest.mark.parametrize("concept", range(10))
def test_each_rule_of_agrawal_has_two_groups(concept: int) -> None:
    assert 0 < labels(agrawal(3000, seed=1, concept=concept)).mean() < 0.99


def test_an_abrupt_drift_changes_the_rule_at_one_row() -> None:
    whole = drifting(sea, 1000, seed=3, concepts=(0, 2), noise=0.0)
    before, after = sea(1000, seed=3, concept=0, noise=0.0), sea(1000, seed=3, concept=2, noise=0.0)
    assert whole[:500].equals(before[:500])
    assert whole[500:].equals(after[500:])


def test_a_gradual_drift_mixes_the_rules_around_one_row() -> None:
    whole = labels(drifting(sea, 20_000, seed=3, concepts=(0, 2), width=4000, noise=0.0))
    after = labels(sea(20_000, seed=3, concept=2, noise=0.0))
    differ = (whole != after).reshape(10, -1).mean(axis=1)
    assert differ[0] > differ[4] > differ[6] > differ[9] == 0

"""Checks of transforms and merges."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talkoot.core.context import Ctx
from talkoot.core.merge import Merge
from talkoot.core.transform import Transform
from talkoot.core.update import Leaf, Update, total
from talkoot.testing.compare import assert_same
from talkoot.testing.strategies import updates

_TRIES = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


def check_transform(transform: Transform, *, rtol: float = 1e-12) -> None:
    """Check the laws of a transform.

    One node: if the transform is exact, decode(encode(u)) is u. Additive: decode reads only the sum, whose
    order does not matter. Identity: a node without rows changes nothing.

    Args:
        transform: what to check.
        rtol: allowed difference, relative to the greatest entry of a leaf, or of the leaves that were added
            in it, as terms may cancel.

    Raises:
        AssertionError: a law does not hold; Hypothesis prints the smallest example.

    >>> from talkoot import weigh
    >>> check_transform(weigh("rows"))
    """

    @_TRIES
    @given(st.lists(updates(sums_only=True), min_size=1, max_size=5), st.randoms(use_true_random=False))
    def laws(all_updates: list[Update], random: Random) -> None:
        encoded = [_encode(transform, u, i) for i, u in enumerate(all_updates)]
        if transform.bias == "exact" and all_updates[0].weight:
            assert_same(_decode(transform, encoded[0]), all_updates[0], rtol=rtol, where="one node")
        if not transform.additive:
            return
        merged = _with_scale(_decode(transform, total(encoded)), all_updates)
        shuffled = list(encoded)
        random.shuffle(shuffled)
        reordered = _with_scale(_decode(transform, total(shuffled)), all_updates)
        assert_same(reordered, merged, rtol=rtol, where="permutation")
        empty = _encode(transform, Update(), len(all_updates))
        with_empty = _with_scale(_decode(transform, total([*encoded, empty])), all_updates)
        assert_same(with_empty, merged, rtol=rtol, where="empty node")

    laws()


def _encode(transform: Transform, update: Update, node: int) -> Update:
    return transform.encode(update, None, Ctx(node=f"node{node}"))[0]


def _decode(transform: Transform, update: Update) -> Update:
    return transform.decode(update, None, Ctx())[0]


def _with_scale(merged: Update, all_updates: Sequence[Update]) -> dict[str, np.ndarray]:
    """Each leaf with the greatest entry of its terms, which is the scale of the sum's rounding errors."""
    return {
        name: np.append(value, max(np.abs(u.values[name]).max() for u in all_updates if name in u.values))
        for name, value in merged.values.items()
    }


def check_merge(merge: Merge) -> None:
    """Check the laws of a merge.

    No node: ``Update()``. One node: its update. Permutation of nodes: the same result. Equal updates: a rule
    that reads each returns them. A sum: any grouping and empty nodes give the same, and terms can be
    subtracted.

    Raises:
        AssertionError: a law does not hold; Hypothesis prints the smallest example.

    >>> from talkoot import Median
    >>> check_merge(Median())
    """
    sums_only = merge.needs == "each"

    @_TRIES
    @given(
        st.lists(updates(sums_only=sums_only, zero=not sums_only), min_size=1, max_size=6), st.integers(0, 5)
    )
    def laws(all_updates: list[Update], turn: int) -> None:
        assert_same(_merged(merge, []), Update(), rtol=0, where="no node")
        assert_same(_merged(merge, all_updates[:1]), all_updates[0], rtol=0, where="one node")
        merged = _merged(merge, all_updates)
        rotated = all_updates[turn % len(all_updates) :] + all_updates[: turn % len(all_updates)]
        assert_same(_merged(merge, rotated), merged, rtol=1e-12, where="permutation")
        if merge.needs == "each":
            assert_same(
                _merged(merge, [all_updates[0]] * 5), all_updates[0], rtol=1e-12, where="equal updates"
            )
        else:
            _check_sum(merge, all_updates, merged)

    laws()


def _merged(merge: Merge, all_updates: Sequence[Update]) -> Update:
    return merge.merge({f"node{i}": update for i, update in enumerate(all_updates)})[0]


def _check_sum(merge: Merge, all_updates: list[Update], merged: Update) -> None:
    cut = len(all_updates) // 2
    parts = [_merged(merge, all_updates[:cut]), _merged(merge, all_updates[cut:])]
    assert_same(_merged(merge, parts), merged, rtol=0, where="associativity")
    assert_same(_merged(merge, [*all_updates, Update()]), merged, rtol=0, where="identity")
    sums = [_sums(update) for update in all_updates]
    left = _merged(merge, sums) - sums[-1]
    rest = _merged(merge, sums[:-1])
    for name, value in rest.values.items():
        assert_same(left.values[name], value, rtol=0, where=f"inverse.{name}")


def _sums(update: Update) -> Update:
    sums = {k: v for k, v in update.values.items() if update.kind(k) is Leaf.SUM}
    return Update(values=sums, weight=update.weight)

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

    One node: where it claims to be exact, decode(encode(u)) is u. Additive: decode reads only the sum, in
    whatever order. Identity: a node that has nothing to say changes nothing.

    Args:
        transform: what to check.
        rtol: allowed difference, relative to the greatest entry of a leaf; where updates were added, of what
            went into it, as terms may cancel.

    Raises:
        AssertionError: a law does not hold; Hypothesis prints the least example.

    >>> from talkoot import weigh
    >>> check_transform(weigh("rows"))
    """

    @_TRIES
    @given(st.lists(updates(sums_only=True), min_size=1, max_size=5), st.randoms(use_true_random=False))
    def laws(said: list[Update], random: Random) -> None:
        encoded = [_encode(transform, u, i) for i, u in enumerate(said)]
        if transform.bias == "exact" and said[0].weight:
            assert_same(_decode(transform, encoded[0]), said[0], rtol=rtol, where="one node")
        if not transform.additive:
            return
        merged = _beside(_decode(transform, total(encoded)), said)
        shuffled = list(encoded)
        random.shuffle(shuffled)
        turned = _beside(_decode(transform, total(shuffled)), said)
        assert_same(turned, merged, rtol=rtol, where="permutation")
        silent = _encode(transform, Update(), len(said))
        joined = _beside(_decode(transform, total([*encoded, silent])), said)
        assert_same(joined, merged, rtol=rtol, where="empty node")

    laws()


def _encode(transform: Transform, update: Update, node: int) -> Update:
    return transform.encode(update, None, Ctx(node=f"node{node}"))[0]


def _decode(transform: Transform, update: Update) -> Update:
    return transform.decode(update, None, Ctx())[0]


def _beside(merged: Update, said: Sequence[Update]) -> dict[str, np.ndarray]:
    """Leaves beside the greatest entry that went into them: a sum is as exact as its greatest term."""
    return {
        name: np.append(value, max(np.abs(u.values[name]).max() for u in said if name in u.values))
        for name, value in merged.values.items()
    }


def check_merge(merge: Merge) -> None:
    """Check the laws of a merge.

    No node: ``Update()``. One node: itself. Permutation of nodes: the same. Nodes of one opinion: a rule
    that reads each returns it. A sum: in any grouping, with silent nodes, and what was added can be taken
    back.

    Raises:
        AssertionError: a law does not hold; Hypothesis prints the least example.

    >>> from talkoot import Median
    >>> check_merge(Median())
    """
    sums_only = merge.needs == "each"

    @_TRIES
    @given(
        st.lists(updates(sums_only=sums_only, zero=not sums_only), min_size=1, max_size=6), st.integers(0, 5)
    )
    def laws(said: list[Update], turn: int) -> None:
        assert_same(_merged(merge, []), Update(), rtol=0, where="no node")
        assert_same(_merged(merge, said[:1]), said[0], rtol=0, where="one node")
        merged = _merged(merge, said)
        turned = said[turn % len(said) :] + said[: turn % len(said)]
        assert_same(_merged(merge, turned), merged, rtol=1e-12, where="permutation")
        if merge.needs == "each":
            assert_same(_merged(merge, [said[0]] * 5), said[0], rtol=1e-12, where="one opinion")
        else:
            _check_sum(merge, said, merged)

    laws()


def _merged(merge: Merge, updates: Sequence[Update]) -> Update:
    return merge.merge({f"node{i}": update for i, update in enumerate(updates)})[0]


def _check_sum(merge: Merge, updates: list[Update], merged: Update) -> None:
    cut = len(updates) // 2
    parts = [_merged(merge, updates[:cut]), _merged(merge, updates[cut:])]
    assert_same(_merged(merge, parts), merged, rtol=0, where="associativity")
    assert_same(_merged(merge, [*updates, Update()]), merged, rtol=0, where="identity")
    sums = [_sums(update) for update in updates]
    left = _merged(merge, sums) - sums[-1]
    for name, value in _merged(merge, sums[:-1]).values.items():
        assert_same(left.values[name], value, rtol=0, where=f"inverse.{name}")


def _sums(update: Update) -> Update:
    kept = {k: v for k, v in update.values.items() if update.kind(k) is Leaf.SUM}
    return Update(values=kept, weight=update.weight)

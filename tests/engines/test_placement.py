"""Dealing nodes out to workers, and packing what they get."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from probes import nodes

from talkoot.data.tables.arrays import ArrayShard
from talkoot.engines.processes.placement import ShardPlacement, deal, setting

SIZES = st.dictionaries(st.text(max_size=3), st.integers(0, 10**9), max_size=12)


@given(SIZES, st.integers(1, 6))
def test_every_node_is_dealt_once_and_no_hand_is_left_empty(sizes: dict[str, int], hands: int) -> None:
    dealt = deal(sizes, hands)
    assert sorted(node for hand in dealt for node in hand) == sorted(sizes)
    assert len(dealt) == min(hands, len(sizes))
    assert all(dealt)
    assert deal(sizes, hands) == dealt


@given(SIZES.filter(len), st.integers(1, 6))
def test_no_worker_has_more_than_its_fair_share_and_one_node(sizes: dict[str, int], hands: int) -> None:
    heaviest = max(sum(sizes[node] for node in hand) for hand in deal(sizes, hands))
    assert heaviest <= sum(sizes.values()) / min(hands, len(sizes)) + max(sizes.values())


def test_nodes_weigh_by_their_rows() -> None:
    shards = {
        name: ArrayShard(name=name, X=np.ones((rows, 2))) for name, rows in zip("abc", (3, 0, 9), strict=True)
    }
    assert ShardPlacement.pack(shards).sizes == {"a": 3, "b": 0, "c": 9}


def test_small_arrays_travel_in_the_message_and_large_ones_beside_it() -> None:
    placement = ShardPlacement.pack(nodes(2, 10) | {"z": ArrayShard(name="z", X=np.ones((9000, 2)))})
    _, nothing = placement.load(["a", "b"], setting())
    _, segments = placement.load(["b", "z"], setting())
    assert (len(nothing), len(segments)) == (0, 1)

"""Sums in bins, and leaves divided, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkoot.kernels.trees.histograms import BLOCK, counting_bits, divide, pack, sums_of_leaves

pytestmark = pytest.mark.wide


def packed(columns: np.ndarray, pieces: int = 1) -> np.ndarray:
    """(features, rows) bins in words, written in some pieces."""
    features, rows = columns.shape
    bins, at = np.zeros((-(-features // 4), rows), np.uint32), 0
    for piece in np.array_split(columns, pieces, axis=1):
        pack(np.ascontiguousarray(piece), at, bins)
        at += piece.shape[1]
    return bins


@given(
    features=st.integers(1, 37),
    rows=st.sampled_from([1, 2, 47, 48, 49, 300, BLOCK, BLOCK + 1, 3 * BLOCK + 7]),
    width=st.sampled_from([2, 17, 256]),
    exponent=st.integers(0, 46),
    pieces=st.integers(1, 3),
    ones=st.booleans(),
    seed=st.integers(0, 999),
)
def test_sums_are_exact(
    features: int, rows: int, width: int, exponent: int, pieces: int, ones: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, width, (features, rows)).astype(np.uint8)
    pairs = rng.integers(-(1 << exponent), (1 << exponent) + 1, (rows, 2))
    pairs[:, 1:] = 1 if ones else pairs[:, 1:]
    order, cuts = rng.permutation(rows).astype(np.uint32), np.sort(rng.integers(0, rows + 1, 2))
    places = np.array([[0, cuts[0]], [cuts[0], cuts[1]], [0, rows]])
    shift = counting_bits(int(np.abs(pairs[:, 0]).max()))
    sums, whole = np.zeros((3, features, width, 3 if shift else 2), np.int64), pairs.copy()
    if shift:
        whole[:, 0] = (whole[:, 0] << shift) + 1
    sums_of_leaves(packed(columns, pieces), order, places, whole[:, : 2 - ones].copy(), shift, sums)
    expected = np.zeros((3, features, width, 3), np.int64)
    for leaf, (start, stop) in enumerate(places):
        for j in range(features):
            own = order[start:stop]
            np.add.at(expected[leaf, j, :, :2], columns[j, own], pairs[own])
            np.add.at(expected[leaf, j, :, 2], columns[j, own], 1)
    assert np.array_equal(sums, expected[..., : sums.shape[-1]])


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("exponent", [31, 32, 39, 40])
def test_a_bin_holds_the_greatest_numbers(exponent: int, sign: int) -> None:
    rows, greatest = 1 << 16, (1 << exponent) - 1
    shift = counting_bits(greatest)
    assert shift > 0
    pairs = np.full((rows, 2), sign * greatest)
    pairs[:, 0] = (pairs[:, 0] << shift) + 1
    sums = np.zeros((1, 3, 4, 3), np.int64)
    bins = packed(np.full((3, rows), 3, np.uint8))
    sums_of_leaves(bins, np.arange(rows, dtype=np.uint32), np.array([[0, rows]]), pairs, shift, sums)
    assert sums[0, :, 3].tolist() == [[sign * greatest * rows, sign * greatest * rows, rows]] * 3
    assert not sums[0, :, :3].any()


@given(features=st.integers(1, 37), rows=st.integers(0, 200), seed=st.integers(0, 999))
def test_rows_of_divided_leaves_keep_their_order(features: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, 256, (features, rows)).astype(np.uint8)
    order, places = np.arange(rows, dtype=np.uint32), np.zeros((5, 2), np.int64)
    places[0] = 0, rows
    splits = np.array([[1, 0, rng.integers(features)], [3, 2, rng.integers(features)]])
    goes_left = rng.random((2, 256)) < 0.5
    divide(packed(columns), order, places, splits, goes_left)
    first = goes_left[0][columns[splits[0, 2]]]
    second = goes_left[1][columns[splits[1, 2]]]
    every = np.arange(rows)
    for part, expected in {1: first, 3: ~first & second, 4: ~first & ~second}.items():
        assert order[slice(*places[part])].tolist() == every[expected].tolist()
    assert not np.diff(places[[0, 2]]).any()

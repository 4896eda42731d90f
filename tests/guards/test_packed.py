from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packing import ARRAYS

from talkoot import Update
from talkoot.guards.packed import TILE, Blocks, Packed, Sparse
from talkoot.guards.quantize import sum_blocks, to_blocks
from talkoot.guards.topk import TopK

SHAPES = st.sampled_from(((2,), (7,), (3, 5), (130,), (16, 16)))
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def twins(draw: st.DrawFn) -> tuple[Packed, Packed]:
    """Two leaves of one shape and kind."""
    shape, rng = draw(SHAPES), np.random.default_rng(draw(SEEDS))
    bits, block = draw(st.sampled_from((8, 4))), draw(st.sampled_from((2, 8, 128)))
    a, b = rng.normal(size=(2, *shape)).astype(np.float32)
    if draw(st.booleans()):
        return TopK(0.5).compress(a, None)[0], TopK(0.5).compress(b, None)[0]
    return to_blocks(a, bits=bits, block=block)[0], to_blocks(b, bits=bits, block=block)[0]


@given(twins())
def test_leaves_add_as_what_they_stand_for(leaves: tuple[Packed, Packed]) -> None:
    a, b = leaves
    x, y = a.dense(), b.dense()
    assert x.dtype == np.float32
    for got in (a + b, a + y, x + b):
        assert isinstance(got, np.ndarray)
        np.testing.assert_array_equal(got, x + y)
    np.testing.assert_array_equal(a - b, x - y)
    np.testing.assert_array_equal(x - b, x - y)
    np.testing.assert_array_equal(np.asarray(a), x)
    total = x.astype(np.float64)
    assert (total + b).dtype == np.float64
    b.add_to(total)
    np.testing.assert_allclose(total, x + y, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(x, a.dense(), "adding changes neither side")


@given(twins(), st.sampled_from((0.0, -1.0, 0.5, 3.0)))
def test_a_multiple_stays_packed(leaves: tuple[Packed, Packed], factor: float) -> None:
    leaf = leaves[0]
    assert type(leaf * factor) is type(leaf)
    assert (leaf * factor).nbytes == leaf.nbytes
    np.testing.assert_allclose((leaf * factor).dense(), leaf.dense() * factor, rtol=1e-6)


@given(twins())
def test_bytes_are_unpacked_by_a_leaf_of_the_same_kind(
    leaves: tuple[Packed, Packed],
) -> None:
    mine, theirs = leaves
    raw = theirs.pack()
    assert raw.dtype == np.uint8
    assert raw.shape == (mine.nbytes,)
    gathered = b"?" + raw.tobytes()  # in a buffer of many, a leaf may start anywhere
    np.testing.assert_array_equal(mine.unpack(memoryview(gathered)[1:]).dense(), theirs.dense())
    with pytest.raises(AssertionError, match="bytes where"):
        mine.unpack(gathered)


def test_leaves_are_pickled() -> None:
    leaf = to_blocks(np.arange(300.0))[0]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(leaf)).dense(), leaf.dense())


@given(twins())
def test_updates_of_packed_leaves_scale_and_have_an_inverse(leaves: tuple[Packed, Packed]) -> None:
    a, b = (Update(values={"w": leaf}, weight=1.0) for leaf in leaves)
    x, y = (leaf.dense() for leaf in leaves)
    for got, expected in (
        (Update() + b, y),
        (a.scaled(2.0), 2 * x),
        (Update() - a, -x),
        ((b + a) - a, y),
    ):
        np.testing.assert_allclose(np.asarray(got.values["w"]), expected, rtol=1e-6, atol=1e-5)


def test_an_array_is_not_seen_without_a_copy() -> None:
    with pytest.raises(ValueError, match="only once it is unpacked"):
        np.asarray(to_blocks(np.ones(4))[0], copy=False)


@pytest.mark.parametrize("bits", [8, 4])
def test_leaves_of_several_tiles_and_a_broken_block(bits: int) -> None:
    values = np.random.default_rng(0).normal(size=2 * TILE + 77).astype(np.float32)
    leaf, lost = to_blocks(values, bits=bits)
    assert leaf.scales.shape == (2 * TILE // 128 + 1,)
    np.testing.assert_allclose(leaf.dense() + lost, values, atol=1e-6)
    np.testing.assert_array_equal(values + leaf, values + leaf.dense())


def test_nibbles_by_hand() -> None:
    values = np.array([7.0, -7.0, 1.0, -3.0], np.float32)
    leaf, lost = to_blocks(values, bits=4, block=4)
    assert leaf.codes.tolist() == [[0x17, -0x27]]  # the low halves 7 and -7 (9), the high ones 1 and -3 (13)
    assert leaf.dense().tolist() == values.tolist()
    assert not lost.any()
    assert (leaf.block, leaf.nbytes) == (4, 2 + 4)


@given(ARRAYS, st.integers(1, 9), st.sampled_from((8, 4)))
def test_parts_of_whole_blocks_join_to_the_same(values: np.ndarray, count: int, bits: int) -> None:
    leaf = to_blocks(values, bits=bits, block=8)[0]
    parts = leaf.split(count)
    assert len(parts) == count
    assert sum(part.nbytes for part in parts) == leaf.nbytes
    np.testing.assert_array_equal(np.concatenate([part.dense() for part in parts]), leaf.dense().reshape(-1))
    joined = Blocks.join(parts, leaf.shape)
    np.testing.assert_array_equal(joined.pack(), leaf.pack())
    assert joined.dense().shape == values.shape


def reduce_scattered(payloads: list[Blocks]) -> Blocks:
    """What a quantised reduce-scatter and the gather behind it give at every node."""
    slices = zip(*(payload.split(len(payloads)) for payload in payloads), strict=True)
    return Blocks.join([sum_blocks(parts) for parts in slices], payloads[0].shape)


@given(SEEDS, st.integers(1, 6), st.sampled_from((8, 4)))
def test_a_quantised_reduce_scatter_errs_by_one_more_rounding(seed: int, nodes: int, bits: int) -> None:
    said = np.random.default_rng(seed).normal(size=(nodes, 5, 61)).astype(np.float32)
    payloads = [to_blocks(value, bits=bits, block=16)[0] for value in said]
    plain = np.sum([payload.dense() for payload in payloads], axis=0)
    got = reduce_scattered(payloads)
    half = np.repeat(got.scales, 16)[: plain.size].reshape(plain.shape) / 2
    assert (np.abs(got.dense() - plain) <= half * (1 + 1e-5) + 1e-6).all()


def test_entries_keep_their_places() -> None:
    at, shares = np.array([0, 5], np.int32), np.array([1, -0.5], np.float16)
    leaf = Sparse(indices=at, values=shares, scales=np.array([3], np.float32), shape=(2, 3))
    assert leaf.dense().tolist() == [[3.0, 0.0, 0.0], [0.0, 0.0, -1.5]]
    assert leaf.nbytes == 4 + 2 * 6

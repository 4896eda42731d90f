from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packing import ARRAYS, decoded, one, sent, walked

from talkoot import DataError, Leaf, Median, Plan, PlanError, Update, rounds, weigh
from talkoot.core.context import Ctx
from talkoot.core.update import BUFFER
from talkoot.guards.packed import Blocks
from talkoot.guards.quantize import Quantize, quantize, to_blocks
from talkoot.guards.weigh import WEIGHT
from talkoot.testing import check_transform
from talkoot.testing.toys import Count, Walk

BITS = st.sampled_from((8, 4))


@pytest.mark.parametrize("codec", [quantize(), quantize(block=2), quantize(4, block=2, feedback=False)])
def test_the_laws(codec: Quantize) -> None:
    check_transform(codec, rtol=1e-6)


@given(ARRAYS, BITS, st.sampled_from((2, 16)))
def test_a_value_errs_by_half_a_scale_at_most_and_what_is_lost_is_known(
    values: np.ndarray, bits: int, block: int
) -> None:
    leaf, lost = to_blocks(values, bits=bits, block=block)
    flat = np.zeros(leaf.scales.size * block)
    flat[: values.size] = np.abs(values.reshape(-1))
    peaks = flat.reshape(-1, block).max(axis=1)
    half = np.repeat(peaks / (2**bits - 2), block)[: values.size].reshape(values.shape)
    error = np.abs(values - leaf.dense())
    assert (error <= half * (1 + 1e-4) + 1e-35).all()
    np.testing.assert_allclose(
        values - leaf.dense(), lost, rtol=1e-5, atol=1e-6 * np.abs(values).max(initial=0)
    )
    assert lost.shape == values.shape


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=5), BITS)
def test_decode_reads_only_the_sum(seeds: list[int], bits: int) -> None:
    codec = quantize(bits, block=16)
    said = [sent(codec, np.random.default_rng(s).normal(size=(9, 5)))[0] for s in seeds]
    dense = np.sum([np.asarray(update.values["w"]) for update in said], axis=0)
    np.testing.assert_allclose(decoded(codec, said), dense, atol=1e-5)


@given(st.integers(0, 2**32 - 1), BITS, st.integers(1, 12))
def test_with_feedback_rounds_lack_no_more_than_the_last_loss(seed: int, bits: int, count: int) -> None:
    codec, rng, lost = quantize(bits, block=16), np.random.default_rng(seed), None
    truth, got = np.zeros((7, 9)), np.zeros((7, 9))
    for _ in range(count):
        value = rng.normal(size=(7, 9)).astype(np.float32)
        update, lost = sent(codec, value, lost)
        truth += value
        got += decoded(codec, [update])
    assert lost is not None
    np.testing.assert_allclose(got + lost["w"], truth, atol=1e-5)


def test_without_feedback_nothing_is_kept() -> None:
    update, lost = sent(quantize(feedback=False), np.ones(128))
    assert isinstance(update.values["w"], Blocks)
    assert lost is None


def test_the_state_given_is_not_written_to() -> None:
    codec = quantize(block=4)
    first = sent(codec, np.linspace(0, 1, 8))[1]
    assert first is not None
    kept = first["w"].copy()
    again = [sent(codec, np.linspace(1, 3, 8), first)[0].values["w"].pack() for _ in range(2)]
    np.testing.assert_array_equal(*again)
    np.testing.assert_array_equal(first["w"], kept)


def test_a_silent_round_keeps_what_was_lost() -> None:
    codec = quantize(block=4)
    lost = sent(codec, np.linspace(0, 1, 8))[1]
    update, after = codec.encode(Update(), lost, Ctx())
    assert update.values == {}
    assert after is not None
    assert lost is not None
    np.testing.assert_array_equal(after["w"], lost["w"])


def test_only_large_floating_sums_are_packed() -> None:
    plain = {
        "few": np.ones(127),
        "whole": np.ones(500, np.int64),
        "low": np.ones(500),
        BUFFER + "variance": np.ones(500),
        WEIGHT: np.array([3.0]),
    }
    update = Update(values={**plain, "w": np.ones(500)}, weight=3.0, kinds={"low": Leaf.MIN})
    got = quantize().encode(update, None, Ctx())[0]
    assert [name for name, value in got.values.items() if isinstance(value, Blocks)] == ["w"]
    assert all(got.values[name] is value for name, value in plain.items())
    assert (got.weight, got.kind("low")) == (3.0, Leaf.MIN)


@pytest.mark.parametrize("tiny", [0.0, 1e-45, 1e-38, 1e-36])
def test_blocks_of_next_to_nothing(tiny: float) -> None:
    leaf, lost = to_blocks(np.array([tiny, -tiny, 1.0, 0.5], np.float32), block=2)
    np.testing.assert_allclose(leaf.dense() + lost, [tiny, -tiny, 1.0, 0.5], rtol=1e-6, atol=1e-44)
    assert leaf.scales[0] == 0 or tiny > 1e-37


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("bits", [8, 4])
def test_what_is_not_finite_is_refused_by_name(bad: float, bits: int) -> None:
    values = np.ones(400)
    values[333] = bad
    with pytest.raises(DataError, match=r"node 'a', round 0: .* NaN or infinity in 'w'.*learning rate"):
        sent(quantize(bits), values)


def test_rows_of_strided_memory() -> None:
    values = np.arange(512.0).reshape(32, 16).T
    np.testing.assert_allclose(to_blocks(values)[0].dense(), values, atol=512 / 254)


@pytest.mark.parametrize(("bits", "share"), [(8, 0.26), (4, 0.14)])
def test_bytes_on_the_wire(bits: int, share: float) -> None:
    value = np.ones((256, 256), np.float32)
    assert sent(quantize(bits), value)[0].values["w"].nbytes <= share * value.nbytes


@pytest.mark.parametrize(("bits", "off"), [(8, 5e-3), (4, 5e-2)])
def test_a_run_ends_where_it_ends_without_the_codec(bits: int, off: float) -> None:
    plain, coded = (walked(chain).model["at"] for chain in ([], [quantize(bits)]))
    assert 0 < np.abs(coded - plain).max() < off * np.abs(plain).max()


def test_feedback_brings_a_run_closer() -> None:
    plain, fed, lossy = (
        walked(chain, 20).model["at"] for chain in ([], [quantize(4)], [quantize(4, feedback=False)])
    )
    assert np.isfinite(lossy).all()
    assert np.abs(fed - plain).sum() <= np.abs(lossy - plain).sum()


def test_robust_merges_read_a_quantised_update_by_itself() -> None:
    plan = Plan(Walk(), chain=[quantize()], merge=Median(), sync=rounds(2))
    said = {
        n: sent(quantize(), v * np.linspace(0, 1, 256))[0] for n, v in zip("abc", (1, 2, 900), strict=True)
    }
    np.testing.assert_allclose(
        plan.merge.merge(said)[0].values["w"], 2 * np.linspace(0, 1, 256), atol=1 / 127
    )


def test_exact_learners_refuse_it() -> None:
    with pytest.raises(PlanError, match="Quantize.* would bias its sums"):
        Plan(Count(), chain=[quantize()])


def test_its_place_is_behind_the_weight() -> None:
    with pytest.raises(PlanError, match="Weigh.* cannot stand behind Quantize"):
        Plan(Walk(), chain=[quantize(), weigh()], sync=rounds(1))


@pytest.mark.parametrize(("bits", "block"), [(2, 128), (8, 0), (4, 65)])
def test_what_cannot_be_is_refused(bits: int, block: int) -> None:
    with pytest.raises(PlanError, match=r"quantize\((bits|block)="):
        quantize(bits, block)


def test_numpy_goes_through_the_values_not_python() -> None:
    codec, update, calls = quantize(), one(np.ones(1_300_000, np.float32)), 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        packed, _ = codec.encode(update, None, Ctx())
        codec.decode(packed, None, Ctx())
    finally:
        sys.setprofile(None)
    assert 0 < calls < 5_000

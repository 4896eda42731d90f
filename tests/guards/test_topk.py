from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packing import ARRAYS, decoded, sent, walked

from talkoot import DataError, Leaf, Median, Plan, PlanError, Update, rounds
from talkoot.core.context import Ctx
from talkoot.core.update import BUFFER
from talkoot.guards.packed import Sparse
from talkoot.guards.quantize import quantize
from talkoot.guards.topk import TopK, largest, topk
from talkoot.guards.weigh import WEIGHT
from talkoot.testing import check_transform
from talkoot.testing.toys import Count, Walk


@pytest.mark.parametrize("codec", [topk(), topk(0.5), topk(0.4, feedback=False)])
def test_the_laws(codec: TopK) -> None:
    check_transform(codec, rtol=1e-6)


@given(ARRAYS, st.sampled_from((0.1, 0.5)))
def test_the_largest_go_and_the_rest_is_kept(values: np.ndarray, share: float) -> None:
    if int(share * values.size) < 1:
        return
    leaf, lost = TopK(share).compress(values, None)
    flat, peak = np.abs(values.reshape(-1)), np.abs(values).max()
    assert leaf.indices.size == int(share * values.size)
    assert (np.diff(leaf.indices) > 0).all()
    rest = np.delete(flat, leaf.indices)
    assert flat[leaf.indices].min() >= rest.max(initial=0)
    np.testing.assert_allclose(leaf.dense() + lost, values, rtol=1e-5, atol=1e-6 * peak)
    np.testing.assert_array_equal(np.delete(leaf.dense(), leaf.indices), 0)
    tiny = float(np.finfo(values.dtype).tiny)  # below it, digits are lost to the exponent
    assert (np.abs(lost.reshape(-1)[leaf.indices]) <= peak * 2.0**-11 + tiny).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 15))
def test_with_feedback_rounds_lack_no_more_than_the_last_loss(seed: int, count: int) -> None:
    codec, rng, lost = topk(0.05), np.random.default_rng(seed), None
    truth, got = np.zeros((7, 9)), np.zeros((7, 9))
    for _ in range(count):
        value = rng.normal(size=(7, 9)).astype(np.float32)
        update, lost = sent(codec, value, lost)
        truth += value
        got += decoded(codec, [update])
    assert lost is not None
    np.testing.assert_allclose(got + lost["w"], truth, atol=1e-5)


def test_with_feedback_a_small_entry_goes_once_it_has_added_up() -> None:
    value, lost, places = np.array([1.0, 0.3, 0.0, 0.0]), None, []
    for _ in range(5):
        update, lost = sent(topk(0.25), value, lost)
        places += update.values["w"].indices.tolist()
    assert places == [0, 0, 0, 1, 0]


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=5))
def test_decode_reads_only_the_sum(seeds: list[int]) -> None:
    codec = topk(0.2)
    said = [sent(codec, np.random.default_rng(s).normal(size=(9, 5)))[0] for s in seeds]
    dense = np.sum([np.asarray(update.values["w"]) for update in said], axis=0)
    np.testing.assert_allclose(decoded(codec, said), dense, atol=1e-5)


def test_only_large_floating_sums_are_packed() -> None:
    plain = {
        "few": np.ones(99),
        "whole": np.ones(500, np.int64),
        "high": np.ones(500),
        BUFFER + "mean": np.ones(500),
        WEIGHT: np.array([3.0]),
    }
    update = Update(values={**plain, "w": np.ones(100)}, weight=3.0, kinds={"high": Leaf.MAX})
    got = topk().encode(update, None, Ctx())[0]
    assert [name for name, value in got.values.items() if isinstance(value, Sparse)] == ["w"]
    assert all(got.values[name] is value for name, value in plain.items())


def test_nodes_send_as_many_bytes_whatever_they_say() -> None:
    said = (np.zeros(400), np.ones(400), np.random.default_rng(0).normal(size=400))
    assert {sent(topk(), value)[0].values["w"].nbytes for value in said} == {4 + 4 * 6}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_not_finite_is_refused_by_name(bad: float) -> None:
    values = np.ones(400)
    values[333] = bad
    with pytest.raises(DataError, match=r"node 'a', round 0: .* NaN or infinity in 'w'"):
        sent(topk(), values)


def test_ties_are_cut_to_the_count() -> None:
    assert largest(np.ones(10), 3).size == 3


def test_a_run_converges_to_where_it_ends_without_the_codec() -> None:
    plain, coded = (walked(chain, 60).model["at"] for chain in ([], [topk(0.2)]))
    assert np.abs(coded - plain).max() < 0.1 * np.abs(plain).max()


def test_robust_merges_and_exact_learners_refuse_it() -> None:
    with pytest.raises(PlanError, match="reads each update by itself; of TopK.* only the sum can be read"):
        Plan(Walk(), chain=[topk()], merge=Median(), sync=rounds(1))
    with pytest.raises(PlanError, match="TopK.* would bias its sums"):
        Plan(Count(), chain=[topk()])


def test_one_codec_is_enough() -> None:
    with pytest.raises(PlanError, match="Quantize.* cannot stand behind TopK"):
        Plan(Walk(), chain=[topk(), quantize()], sync=rounds(1))


@pytest.mark.parametrize("share", [0, -1, 0.51, 1, float("nan")])
def test_a_share_that_saves_nothing_is_refused(share: float) -> None:
    with pytest.raises(PlanError, match=r"topk\(share="):
        topk(share)

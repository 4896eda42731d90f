"""Fixed point: exact sums in any order, in the node's own dtype, and refusals that name the leaf."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.linear_model import Ridge
from sklearn.preprocessing import MinMaxScaler, RobustScaler

import talkoot as tk
from talkoot.core.context import Ctx
from talkoot.core.errors import DataError, PlanError
from talkoot.core.update import BOUNDED, MODULAR, Leaf, Update, total
from talkoot.formats.answers import answer_from_bytes, answer_to_bytes
from talkoot.guards import limbs
from talkoot.guards.fixed import FixedPoint
from talkoot.guards.ring import Ring
from talkoot.testing import check_transform

CTX = Ctx(node="oslo", round=3, cohort=("oslo", "rome", "wien"))
FLOATS = st.floats(-1e38, 1e38, allow_subnormal=True)
RNG = np.random.default_rng(3)


def ctx_of(nodes: int) -> Ctx:
    return Ctx(node="n0", round=3, cohort=tuple(f"n{i}" for i in range(nodes)))


def sent(value: Any, guard: FixedPoint | None = None, weight: float = 1.0, **kinds: Leaf) -> Update:
    update = Update(values={"w": value}, weight=weight, kinds=kinds)
    return (guard or tk.fixed()).encode(update, None, CTX)[0]


def got(update: Update) -> Any:
    return tk.fixed().decode(update, None, CTX)[0].values["w"]


def whole(words: np.ndarray) -> int:
    number = sum(int(limb) << (64 * place) for place, limb in enumerate(words))
    return number - (1 << 256) if number >> 255 else number


def test_laws() -> None:
    check_transform(tk.fixed(), rtol=0)
    check_transform(tk.fixed(bits=64, limit=1000.0))


HALVES = [odd * 2.0**place for place in (-97, -33, 31, 95) for odd in (1, 3, 5, -1, -3, -5)]  # of a limb


@settings(deadline=None)
@example(HALVES)
@given(st.lists(FLOATS, min_size=1, max_size=20))
def test_a_value_is_the_nearest_multiple_of_two_to_the_minus_96(values: list[float]) -> None:
    words = limbs.from_floats(np.array(values))
    assert [whole(column) for column in words.T] == [round(Fraction(value) * 2**96) for value in values]


@settings(deadline=None)
@given(
    st.lists(st.floats(-1e12, 1e12).filter(lambda x: not 0 < abs(x) < 1e-20), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
)
def test_a_sum_is_exact_in_any_order_and_grouping(values: list[float], random: Any) -> None:
    updates = [sent(np.array([value])) for value in values]
    want = float(sum(Fraction(round(Fraction(v) * 2**96), 2**96) for v in values))
    found = got(total(updates))[0]
    assert abs(found - want) <= math.ulp(want)
    random.shuffle(updates)
    cut = len(updates) // 2
    assert got(total(updates[:cut]) + total(updates[cut:]))[0] == found


@settings(deadline=None)
@given(
    hnp.arrays(
        st.sampled_from(
            (np.int64, np.int32, np.uint8, np.uint64, np.bool_, np.float64, np.float32, np.float16)
        ),
        hnp.array_shapes(min_dims=0, max_dims=3, max_side=4),
    )
)
def test_one_node_gets_its_own_array_back(value: np.ndarray) -> None:
    if value.dtype.kind == "f":
        value = np.nan_to_num(value, posinf=1.0, neginf=-1.0)
        value = value if value.itemsize < 8 else np.clip(value, -1e30, 1e30)
        value = np.where(np.abs(value.astype(float)) < 1e-12, 0, value).astype(value.dtype)
    found = got(sent(value))
    assert found.dtype == value.dtype
    assert found.shape == value.shape
    np.testing.assert_array_equal(found, value)


EDGES = st.sampled_from([0, 1, 2, 2**63, 2**64 - 2, 2**64 - 1]) | st.integers(0, 2**64 - 1)
WIDE = st.lists(EDGES, min_size=4, max_size=4)


@settings(deadline=None)
@given(WIDE, st.lists(st.tuples(st.sampled_from([1, -1]), WIDE), max_size=12))
def test_many_terms_carry_as_one_whole_number_does(
    first: list[int], terms: list[tuple[int, list[int]]]
) -> None:
    start, *others = (np.array([number], np.uint64).T for number in (first, *(words for _, words in terms)))
    signs = [sign for sign, _ in terms]
    want = whole(start[:, 0]) + sum(s * whole(o[:, 0]) for s, o in zip(signs, others, strict=True))
    limbs.add_all(start, zip(signs, others, strict=True))
    assert (whole(start[:, 0]) - want) % (1 << 256) == 0


def test_sums_that_floats_get_wrong() -> None:
    values = [1e20, 1.0, -1e20, 2.0**-90]
    assert got(total(sent(np.array([v])) for v in values))[0] == 1.0
    assert got(total(sent(np.array([v])) for v in [1e20, -1e20, 2.0**-90]))[0] == 2.0**-90
    large = np.array([2**62 + 1, -(2**62) - 3])
    assert got(sent(large) + sent(np.array([-7, 5]))).tolist() == [2**62 - 6, -(2**62) + 2]


NODES = st.sampled_from([1, 2, 3, 7])
WHOLE = [np.dtype(name) for name in ("int8", "int32", "int64", "uint8", "uint64")]


@st.composite
def whole_parts(draw: st.DrawFn) -> tuple[np.dtype[Any], list[int]]:
    """A dtype, and a number of it at each node."""
    dtype, nodes = draw(st.sampled_from(WHOLE)), draw(NODES)
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    edges = st.sampled_from([low, low + 1, 0, high // nodes, high - 1, high])
    return dtype, draw(st.lists(edges | st.integers(low, high), min_size=nodes, max_size=nodes))


@settings(deadline=None)
@given(whole_parts())
def test_a_sum_of_whole_numbers_is_exact_or_refused_whatever_nodes_send(
    parts: tuple[np.dtype[Any], list[int]],
) -> None:
    dtype, numbers = parts
    update = total(sent(np.array([number, 0], dtype)) for number in numbers)
    assert update.values["w"].nbytes == 2 * 16
    if np.iinfo(dtype).min <= sum(numbers) <= np.iinfo(dtype).max:
        assert got(update).tolist() == [sum(numbers), 0]
        assert got(update).dtype == dtype
    else:
        with pytest.raises(DataError, match=f"the sum is beyond the range of {dtype.name}"):
            got(update)


@settings(deadline=None)
@given(NODES, st.data())
def test_bounded_whole_numbers_are_one_word_and_exact_up_to_their_bound(nodes: int, data: Any) -> None:
    limit, name = 2**62 // nodes, f"{BOUNDED}w"
    edges = st.sampled_from([-limit, 1 - limit, -1, 0, 1, limit - 1, limit])
    numbers = data.draw(
        st.lists(edges | st.integers(-limit, limit), min_size=nodes, max_size=nodes), label="numbers"
    )
    leaves = [np.array([[number, 1]]) for number in numbers]
    updates = [tk.fixed().encode(Update(values={name: leaf}), None, ctx_of(nodes))[0] for leaf in leaves]
    summed = total(updates)
    assert summed.values[name].nbytes == 2 * 8
    found = tk.fixed().decode(summed, None, ctx_of(nodes))[0].values[name]
    assert found.tolist() == [[sum(numbers), nodes]]
    assert found.dtype == np.int64


@pytest.mark.parametrize("nodes", [1, 2, 3, 7])
@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_bounded_whole_numbers_beyond_their_bound_are_refused_by_name(dtype: Any, nodes: int) -> None:
    limit, name = 2**62 // nodes, f"{BOUNDED}w"
    below = [-limit - 1, -(2**63)] if dtype == np.int64 else []
    for number in (limit + 1, int(np.iinfo(dtype).max), *below):
        update = Update(values={name: np.array([0, number], dtype)})
        with pytest.raises(DataError) as caught:
            tk.fixed().encode(update, None, ctx_of(nodes))
        assert f"node 'n0', round 3: leaf '{name}' cannot stand in fixed point" in str(caught.value)
        assert f"{abs(number)} is beyond {limit}" in str(caught.value)
        assert caught.value.cure == f"Leave {BOUNDED!r} out of its name."


@settings(deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=7))
def test_modular_leaves_are_one_word_and_add_modulo_2_to_the_64(numbers: list[int]) -> None:
    updates = [Update(values={f"{MODULAR}w": np.array([number])}) for number in numbers]
    summed = total(tk.fixed().encode(update, None, CTX)[0] for update in updates)
    assert summed.values[f"{MODULAR}w"].nbytes == 8
    found = tk.fixed().decode(summed, None, CTX)[0].values[f"{MODULAR}w"]
    assert found.dtype == np.int64
    assert (int(found[0]) - sum(numbers)) % 2**64 == 0


def test_modular_is_of_int64_alone() -> None:
    name = f"{MODULAR}w"
    for value in (np.array([2**64 - 1], np.uint64), np.array([3.5])):
        leaf = tk.fixed().encode(Update(values={name: value}), None, CTX)[0]
        found = tk.fixed().decode(leaf, None, CTX)[0].values[name]
        assert (found.dtype, found.tolist()) == (value.dtype, value.tolist())
    wide = tk.fixed().encode(Update(values={name: np.array([100], np.int8)}), None, CTX)[0]
    with pytest.raises(DataError, match="beyond the range of int8"):
        tk.fixed().decode(wide + wide, None, CTX)


@pytest.mark.parametrize("chain", [[tk.fixed()], [tk.fixed(), tk.mask()]], ids=["fixed", "mask"])
def test_medians_of_many_equal_values_whose_distances_exceed_64_bits(chain: Any) -> None:
    X = np.broadcast_to(RNG.normal(size=256), (4096, 256))
    model = tk.fit(RobustScaler(), X, nodes=3, on=tk.Inline(), chain=chain).model
    np.testing.assert_array_equal(model.center_, X[0])


def test_bounded_leaves_of_floats_and_of_small_whole_numbers() -> None:
    for value in (np.array([0.5, -2.0]), np.array([True, False]), np.array([200], np.uint8), np.array(7)):
        leaf = tk.fixed().encode(Update(values={f"{BOUNDED}w": value}), None, CTX)[0]
        found = tk.fixed().decode(leaf, None, CTX)[0].values[f"{BOUNDED}w"]
        assert (found.dtype, found.tolist()) == (value.dtype, value.tolist())
    one = tk.fixed().encode(Update(values={f"{BOUNDED}w": np.array([1], np.uint8)}), None, CTX)[0]
    with pytest.raises(DataError, match="beyond the range of uint8"):
        tk.fixed().decode(Update() - one, None, CTX)


def test_whole_numbers_of_two_dtypes_add_as_their_joint_dtype() -> None:
    for one, other in (("int8", "int64"), ("bool", "int32"), ("int64", "uint64"), ("uint8", "int8")):
        found = got(sent(np.ones(2, one)) + sent(np.ones(2, other)))
        assert (found.dtype, found.tolist()) == (np.result_type(one, other), [2, 2])
    large = got(sent(np.array([2**64 - 1], np.uint64)) + sent(np.array([-(2**63)])))
    assert large.tolist() == [float(2**63 - 1)]


def test_weights_are_exact_and_hidden_in_a_leaf() -> None:
    update = sum((sent(np.ones(1), weight=0.1) for _ in range(10)), Update())
    assert update.weight == 0
    assert tk.fixed().decode(update, None, CTX)[0].weight == 1.0
    assert sent(np.ones(1), weight=2.0**53 + 2).weight == 0


def test_a_node_without_rows_stays_the_identity() -> None:
    assert tk.fixed().encode(Update(), None, CTX)[0].values == {}


def test_leaves_that_do_not_add_pass() -> None:
    update = sent(np.array([3.0]), w=Leaf.MIN)
    assert update.values["w"].tolist() == [3.0]
    assert update.kind("w") is Leaf.MIN


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array([1.0, np.nan]), "leaf 'w' cannot stand in fixed point: it holds NaN or infinity"),
        (np.array([np.inf]), "it holds NaN or infinity"),
        (np.array([2.0**127]), "1.7e.38 is beyond 1.7e.38, the range of fixed"),
        (np.array([1e-30, -2e-31]), "1e-30 is its greatest number.*multiples of 1.3e-29. Scale the columns"),
        (np.array([1j]), "complex128 numbers cannot become whole numbers"),
        (np.array(["a"]), "<U1 numbers cannot become"),
        (np.array([1], np.longdouble), "float128 numbers cannot become"),
        ({"a": 1}, "a dict cannot become"),
    ],
)
def test_what_has_no_place_in_fixed_point_is_refused_by_name(value: Any, words: str) -> None:
    with pytest.raises(DataError, match=f"node 'oslo', round 3: .*{words}"):
        sent(value)


def test_a_weight_that_is_missing_is_refused() -> None:
    with pytest.raises(DataError, match="the update's weight cannot stand in fixed point"):
        sent(np.ones(1), weight=math.nan)


def test_a_sum_beyond_its_dtype_is_refused() -> None:
    with pytest.raises(DataError, match="leaf 'w'.*the sum is beyond the range of int8"):
        got(sent(np.array([100], np.int8)) + sent(np.array([100], np.int8)))
    with pytest.raises(DataError, match="beyond the range of int64"):
        got(sent(np.array([2**62])) + sent(np.array([2**62])))
    with pytest.raises(DataError, match="beyond the range of uint64"):
        got(sent(np.array([1], np.uint64)) - sent(np.array([2], np.uint64)))
    with pytest.raises(DataError, match="beyond the range of float16"):
        got(sent(np.array([6e4], np.float16)) + sent(np.array([6e4], np.float16)))


def test_a_narrow_ring_has_a_limit() -> None:
    guard = tk.fixed(bits=32, limit=8.0)
    values = np.array([7.9, -8.0, 0.001], np.float32)
    update = sent(values, guard) + sent(values, guard) + sent(values, guard)
    assert update.values["w"].words.dtype == np.uint32
    found = got(update)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 3 * values, atol=3e-7)
    with pytest.raises(DataError, match="leaf 'w'.*8.5 is beyond limit=8"):
        sent(np.array([8.5, 0.0]), guard)
    assert got(sent(np.array([1234567.0]), guard))[0] == 1234567.0  # one number stays wide
    for wrong, words in (
        ({"bits": 48, "limit": 1.0}, "bits=48.* is unknown"),
        ({"bits": 64}, "needs a limit"),
        ({"bits": 32, "limit": -1.0}, "no limit"),
        ({"bits": 32, "limit": 1e9}, "no room behind the point"),
        ({"limit": 2.0}, "need no limit"),
    ):
        with pytest.raises(PlanError, match=words):
            tk.fixed(**wrong)
    with pytest.raises(DataError, match="no room for the sum of 3000 nodes"):
        tk.fixed(bits=32, limit=1e6).encode(
            Update(values={"w": np.ones(2)}), None, Ctx(cohort=tuple(map(str, range(3000))))
        )


def test_a_narrow_ring_is_refused_for_exact_learners() -> None:
    with pytest.raises(PlanError, match="would bias its sums"):
        tk.fit(Ridge(), np.eye(3), np.ones(3), chain=[tk.fixed(bits=64, limit=10.0)])


def test_tensors_come_back_as_tensors() -> None:
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, torch.bfloat16, torch.int64):
        tensor = torch.tensor([[1.5, -2.0]]).to(dtype)
        found = got(sent(tensor) + sent(tensor))
        assert found.dtype == dtype
        assert torch.equal(found, tensor * 2)


def test_leaves_travel_and_damaged_ones_are_refused() -> None:
    update = sent(RNG.normal(size=(2, 3)))
    found = answer_from_bytes(answer_to_bytes(update), finite=True)
    assert isinstance(found, Update)
    np.testing.assert_array_equal(got(found), got(update))
    leaf = update.values["w"]
    for wrong in (
        Ring(words=leaf.words[:, 1:], shape=leaf.shape, dtype=leaf.dtype, fraction=96),
        Ring(words=leaf.words[:2], shape=leaf.shape, dtype=leaf.dtype, fraction=96),
        Ring(words=leaf.words.view(np.int64), shape=leaf.shape, dtype=leaf.dtype, fraction=96),
        Ring(words=leaf.words, shape=leaf.shape, dtype="int64", fraction=96),
        Ring(words=leaf.words[:2], shape=leaf.shape, dtype="int64", fraction=96),
        Ring(words=leaf.words[:3], shape=leaf.shape, dtype="torch.int64", fraction=0),
        Ring(words=leaf.words[:1].astype(np.uint32), shape=leaf.shape, dtype="int64", fraction=0),
    ):
        with pytest.raises(DataError, match="leaf 'w' is no array, or its pieces do not fit"):
            answer_from_bytes(answer_to_bytes(Update(values={"w": wrong})))


def test_leaves_of_other_forms_do_not_add() -> None:
    with pytest.raises(DataError, match="do not add"):
        sent(np.ones(2)) + sent(np.ones(3))
    with pytest.raises(DataError, match="do not add"):
        sent(np.ones(2)) + sent(np.ones(2), tk.fixed(bits=64, limit=2.0))
    with pytest.raises(DataError, match="do not add"):
        sent(np.ones(2)) + sent(np.ones(2, np.int64))
    word = tk.fixed().encode(Update(values={f"{BOUNDED}w": np.ones(2, np.int64)}), None, CTX)[0]
    with pytest.raises(DataError, match="do not add"):
        sent(np.ones(2, np.int64)) + Update(values={"w": word.values[f"{BOUNDED}w"]})
    with pytest.raises(DataError, match="do not add.*ndarray"):
        sent(np.ones(2)) + Update(values={"w": np.ones(2)})


@pytest.mark.parametrize(
    "engine", [tk.Inline(2), pytest.param(tk.Local(2), marks=pytest.mark.wide)], ids=repr
)
def test_every_engine_gives_the_same_bits(engine: Any) -> None:
    X = RNG.normal(size=(60, 3))
    models = [
        tk.fit(Ridge(), X, X @ [1.0, 2.0, 3.0], nodes=n, on=on, chain=[tk.fixed()]).model
        for n, on in ((4, tk.Inline()), (4, engine))
    ]
    assert models[0].coef_.tobytes() == models[1].coef_.tobytes()


def test_other_leaves_are_no_obstacle_to_fixed_alone() -> None:
    X = RNG.normal(size=(30, 2))
    model = tk.fit(MinMaxScaler(), X, nodes=3, chain=[tk.fixed()]).model
    np.testing.assert_array_equal(model.data_min_, X.min(axis=0))

"""Updates among many ranks go as sums: fewer bytes, the same answer, the same bits at every rank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from together import together
from torch import Tensor
from torch.distributed.distributed_c10d import _get_default_store
from walking import Stride, rows

import talkoot as tk
from patience import NEVER
from talkoot.core.errors import NodeFailed
from talkoot.core.run import run
from talkoot.core.update import Leaf, total
from talkoot.engines.events import Answer
from talkoot.engines.inline import Inline
from talkoot.engines.processes import wire
from talkoot.engines.ranks.collectives import exchange
from talkoot.engines.ranks.collectives.exchange import Form, common_forms, forms
from talkoot.engines.ranks.collectives.group import Group, Peers, SingleRank
from talkoot.engines.ranks.engine import GroupEngine
from talkoot.guards.packed import Blocks
from talkoot.guards.quantize import to_blocks

WORLD = 6
SIZE = 60_000  # values of the large leaf


class Counted:
    """A group that counts the bytes that this rank sends."""

    def __init__(self, group: Peers) -> None:
        self.group, self.rank, self.world, self.shared = group, group.rank, group.world, group.shared
        self.sent = 0.0

    def start_all_gather(self, payload: bytes) -> Callable[[], list[bytes]]:
        self.sent += len(payload) * (self.world - 1)
        return self.group.start_all_gather(payload)

    def all_gather(self, payload: bytes) -> list[bytes]:
        return self.start_all_gather(payload)()

    def all_reduce(self, tensor: Tensor) -> None:
        self.sent += 2 * tensor.nbytes * (self.world - 1) / self.world
        self.group.all_reduce(tensor)

    def all_to_all(self, parts: Sequence[np.ndarray], sizes: Sequence[int]) -> list[np.ndarray]:
        self.sent += sum(part.nbytes for part in parts) - parts[self.rank].nbytes
        return self.group.all_to_all(parts, sizes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.group, name)


PLANS: dict[str, Any] = {
    "dense": {"chain": [tk.weigh("rows")]},
    "packed": {"chain": [tk.weigh("rows"), tk.quantize()]},
    "nibbles": {"chain": [tk.weigh("rows"), tk.quantize(bits=4)]},
    "median": {"merge": tk.Median()},
    "quorum": {"chain": [tk.weigh("rows")], "sync": tk.rounds(3, quorum=2)},
}
Results = dict[str, tuple[float, dict[str, np.ndarray]]]


def trained(on: Any, name: str, nodes: int = WORLD) -> dict[str, np.ndarray]:
    """The model after three rounds."""
    plan = tk.Plan(Stride(SIZE), **{"sync": tk.rounds(3), **PLANS[name]})
    schema, shards = rows(nodes)
    model: dict[str, np.ndarray] = run(plan, shards, on, schema=schema).model
    return model


def train_all(rank: int) -> Results:
    """Every plan on the ranks: bytes sent in a round, and the model; then updates that are odd."""
    group = Group(_get_default_store(), epoch=0, rank=rank, world=WORLD, timeout=NEVER, patience=NEVER)
    results: Results = {}
    for name in PLANS:
        counted = Counted(group)
        model = trained(GroupEngine(group=counted), name)
        results[name] = counted.sent / 3, model
    results["fewer nodes than ranks"] = 0.0, trained(GroupEngine(group=group), "packed", nodes=4)
    results["more nodes than ranks"] = 0.0, trained(GroupEngine(group=group), "packed", nodes=8)
    for name, update in odd(rank).items():
        answer = Answer(nodes=(f"node{rank}",), update=update)
        messages = exchange.start(group, wire.packed((rank, [answer])), sums=True)()
        assert [request for request, _ in messages] == list(range(WORLD))
        merged = total(answer.update or tk.Update() for _, (answer,) in messages)
        results[name] = 0.0, {key: np.asarray(value) for key, value in merged.values.items()}
    plan = tk.Plan(Stride(SIZE, fails="node3"), sync=tk.rounds(3))
    with pytest.raises(NodeFailed, match="'node3', round 0"):
        run(plan, rows(WORLD)[1], GroupEngine(group=group), schema=rows(WORLD)[0])
    return results


def odd(rank: int) -> dict[str, tk.Update]:
    """Updates that cannot be added on the way, or not all of them."""
    big = np.full(300, rank + 1.0)
    one = {"w": big if rank % 2 else big.astype(np.float32)}
    two = {"w": to_blocks(big)[0] if rank % 2 else big.astype(np.float32)}
    kinds = {"low": Leaf.MIN}
    return {
        "dtypes differ": tk.Update(values=one, weight=1.0),
        "codes beside arrays": tk.Update(values=two, weight=1.0),
        "shapes differ": tk.Update(values={"w": big if rank % 2 else big[None]}, weight=1.0),
        "kinds": tk.Update(values={"w": big, "low": -big, "n": np.ones(1)}, kinds=kinds, weight=1.0),
        "small blocks": tk.Update(values={"w": to_blocks(np.full(8, rank + 1.0), block=8)[0]}, weight=1.0),
        "whole numbers": tk.Update(values={"w": np.full(300, 2**62 + rank)}, weight=1.0),
        "nothing": tk.Update(),
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Results]:
    results: list[Results] = together(tmp_path_factory.mktemp("ranks"), WORLD, train_all, patience=120.0)
    for each in results:
        assert isinstance(each, dict), each
    return results


def test_all_ranks_have_the_same_bits(results: list[Results]) -> None:
    for other in results[1:]:
        assert other.keys() == results[0].keys()
        for name, (_, model) in other.items():
            for key, value in model.items():
                assert value.tobytes() == results[0][name][1][key].tobytes(), (name, key)


@pytest.mark.parametrize("name", PLANS)
def test_the_answer_is_that_of_the_reference(results: list[Results], name: str) -> None:
    expected, got = trained(Inline(), name), results[0][name][1]
    assert got.keys() == expected.keys()
    sums = 1 / 127 if name in ("packed", "nibbles") else 1e-6  # a sum is rounded once more, to 8 bits
    codes = 1 / 7 if name == "nibbles" else sums  # so in later rounds a node may round the other way
    for key, value in expected.items():
        off, most = np.abs(got[key] - value), np.abs(value).max()
        assert off.mean() < sums * most / 2, key
        assert off.max() < codes * most, key


@pytest.mark.parametrize(("name", "nodes"), [("fewer nodes than ranks", 4), ("more nodes than ranks", 8)])
def test_ranks_may_have_no_node_or_several(results: list[Results], name: str, nodes: int) -> None:
    expected, got = trained(Inline(), "packed", nodes=nodes), results[0][name][1]
    np.testing.assert_allclose(got["w"], expected["w"], atol=4 / 127 * np.abs(expected["w"]).max())


@pytest.mark.parametrize(
    ("name", "size"), [("dense", 2 * 4.0), ("packed", 2 * (1 + 4 / 128)), ("nibbles", 1.5 + 2 * 4 / 128)]
)
def test_a_rank_sends_its_part_and_a_part_of_the_sum(results: list[Results], name: str, size: float) -> None:
    for rank in results:
        bulk = SIZE * size * (WORLD - 1) / WORLD
        assert bulk - 1000 < rank[name][0] < bulk + 8000, "the rest are headers"


@pytest.mark.parametrize("name", ["median", "quorum"])
def test_where_each_update_is_needed_it_goes_to_all(results: list[Results], name: str) -> None:
    assert results[0][name][0] > (WORLD - 1) * SIZE * 4


def test_what_cannot_be_added_goes_in_headers(results: list[Results]) -> None:
    models = {name: results[0][name][1] for name in odd(0)}
    added = sum(range(1, WORLD + 1))
    assert set(models["dtypes differ"]["w"]) == {added}
    assert models["dtypes differ"]["w"].dtype == np.float64
    np.testing.assert_allclose(models["codes beside arrays"]["w"], added, rtol=1e-6)
    assert set(models["shapes differ"]["w"][0]) == {added}
    assert set(models["kinds"]["w"]) == {added}
    assert set(models["kinds"]["low"]) == {-WORLD}
    assert models["kinds"]["n"].tolist() == [WORLD]
    np.testing.assert_allclose(models["small blocks"]["w"], added, rtol=1e-6)
    assert models["nothing"] == {}


def test_whole_numbers_are_added_to_the_last_digit_and_wrap(results: list[Results]) -> None:
    total = (WORLD * 2**62 + sum(range(WORLD)) + 2**63) % 2**64 - 2**63
    assert set(results[0]["whole numbers"][1]["w"].tolist()) == {total}


def test_few_ranks_tell_each_other_all_at_once() -> None:
    message = wire.packed((0, [Answer(nodes=("a",), update=tk.Update(values={"w": np.ones(5000)}))]))
    ((request, (answer,)),) = exchange.start(SingleRank(), message, sums=True)()
    assert request == 0
    assert answer.update is not None
    assert answer.update.values["w"].sum() == 5000


def test_only_large_leaves_that_are_added_are_worth_a_sum() -> None:
    big = np.ones(1000)
    update = tk.Update(
        values={
            "big": big,
            "small": big[:9],
            "whole": big.astype(np.int64),
            "short": big.astype(np.int32),
            "low": big,
            "code": to_blocks(big)[0],
        },
        kinds={"low": Leaf.MIN},
    )
    assert forms(update) == {
        "big": Form(shape=(1000,), dtype="float64"),
        "whole": Form(shape=(1000,), dtype="int64"),
        "code": Form(shape=(1000,), bits=8, block=128),
    }


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from((2, 3)), max_size=3), max_size=4))
def test_ranks_agree_where_no_leaf_has_two_shapes(shapes: list[dict[str, int]]) -> None:
    known = [{name: Form(shape=(n,), bits=8, block=2) for name, n in each.items()} for each in shapes]
    union = common_forms(known)
    seen = {name: {each[name] for each in shapes if name in each} for name in "abc"}
    assert (union is None) == any(len(sizes) > 1 for sizes in seen.values())
    if union is not None:
        assert set(union) == {name for name, sizes in seen.items() if sizes}


@given(st.integers(1, 300), st.sampled_from((8, 4)), st.sampled_from((2, 16, 128)))
def test_the_form_of_a_leaf_makes_its_zero(size: int, bits: int, block: int) -> None:
    leaf = to_blocks(np.arange(float(size)), bits=bits, block=block)[0]
    zero = forms(tk.Update(values={"w": leaf}))["w"].zero()
    assert isinstance(zero, Blocks)
    assert zero.nbytes == leaf.nbytes
    np.testing.assert_array_equal(leaf + zero, leaf.dense())


def test_a_round_that_breaks_on_the_way_is_told_where_it_is_waited_for() -> None:
    class Gone(Counted):
        world = 9

        def start_all_gather(self, payload: bytes) -> Callable[[], list[bytes]]:
            raise ConnectionError("as scripted")

    gone = Gone(SingleRank())
    gone.world = 9
    finish = exchange.start(gone, wire.packed((0, [Answer()])), sums=True)
    with pytest.raises(ConnectionError, match="as scripted"):
        finish()

"""LightGBM in several processes, against LightGBM's own fit of the pooled rows in one."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boosted import dealt, table
from disturbing import Disturbed, hang, kill
from hypothesis import given
from hypothesis import strategies as st
from lightgbm_workers import classifier, in_workers, regressor, same_updates
from sklearn.base import clone

import talkoot as tk
from examples import examples
from patience import patient
from talkoot.core.context import Ctx
from talkoot.learners import learner_for
from talkoot.learners.lightgbm.bins import columns_of
from talkoot.learners.lightgbm.mesh import Listener, Mesh, PeerLost, connected, decline
from talkoot.learners.lightgbm.reference import sampled, serialized
from talkoot.learners.lightgbm.several import Bin, Grow
from talkoot.learners.lightgbm.start import of_one_process, start_of, target_sums

lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed")
X, Y = table(600)
X = np.c_[X, np.where(np.random.default_rng(2).random(600) < 0.06, X[:, 0], 0)]  # and a sparse column
ORDER = np.argsort(Y)
X, Y = X[ORDER], Y[ORDER]
LABELS = (Y > 0).astype(int)
KINDS = np.array(["low", "middle", "high"])[np.digitize(Y, [-1, 1])]
W = np.where(np.random.default_rng(1).random(600) < 0.1, 0.0, np.random.default_rng(1).uniform(0, 3, 600))
COUNTS = np.round(np.exp(Y / 3))
ANY = {"min_child_samples": 0, "min_child_weight": 2.0}  # leaves whose rows nobody needs to guess
CASES: dict[str, tuple[Any, np.ndarray, np.ndarray | None]] = {
    "squares": (regressor(), Y, None),
    "weights": (regressor(**ANY), Y, W),
    "columns drawn": (regressor(colsample_bytree=0.5, random_state=3, num_leaves=7), Y, None),
    "rows drawn for bins": (regressor(subsample_for_bin=200, random_state=5, max_bin=20), Y, None),
    "roots": (regressor(reg_sqrt=True), Y, None),
    "huber": (regressor(objective="huber"), Y, None),
    "fair": (regressor(objective="fair", max_depth=4, **ANY), Y, None),
    "poisson": (regressor(objective="poisson", **ANY), COUNTS + 1, None),
    "gamma": (regressor(objective="gamma", **ANY), np.exp(Y / 3), None),
    "tweedie": (regressor(objective="tweedie", **ANY), np.exp(Y / 3), W),
    "two classes": (classifier(scale_pos_weight=2.0, **ANY), LABELS, None),
    "balanced": (classifier(class_weight="balanced", **ANY), LABELS, W),
    "three classes": (
        classifier(n_estimators=4, class_weight={"low": 1, "middle": 2, "high": 0.5}, **ANY),
        KINDS,
        None,
    ),
    "one against the others": (classifier(n_estimators=4, objective="multiclassova", **ANY), KINDS, None),
    "no split": (regressor(min_child_samples=400), Y, None),
    "zeros are missing": (classifier(zero_as_missing=True, **ANY), LABELS, None),
    "many trees": (regressor(n_estimators=31, num_leaves=4), Y, None),
}
SAME = (
    "split_feature",
    "threshold",
    "left_child",
    "right_child",
    "decision_type",
    "leaf_count",
    "internal_count",
)


def lines(model: Any, names: tuple[str, ...]) -> list[str]:
    text = model.booster_.model_to_string()
    return [line for line in text.split("\n") if line.split("=")[0] in names or line.startswith("[")]


def assert_same(got: Any, want: Any, X: np.ndarray) -> None:
    """The same splits, rows of leaves and parameters; values but for the order in which doubles are added."""
    assert lines(got, SAME) == lines(want, SAME)
    ours, theirs = (model.predict(X, raw_score=True) for model in (got, want))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def blocks(cuts: list[int], *given: np.ndarray | None) -> dict[str, Any]:
    """Rows side by side, so that nodes have other targets; a node without rows where cuts are equal."""
    columns = [each for each in given if each is not None]
    edges = [0, *sorted(cuts), len(X)]
    return {f"n{i}": tuple(each[a:b] for each in columns) for i, (a, b) in enumerate(pairwise(edges))}


def in_several(estimator: Any, data: Any, workers: int = 2) -> Any:
    return in_workers(learner_for(clone(estimator)), data, workers)


@pytest.mark.wide
@pytest.mark.parametrize("case", CASES)
def test_trees_are_those_of_one_process(case: str) -> None:
    estimator, y, w = CASES[case]
    want = clone(estimator).fit(X, y, sample_weight=w)
    assert_same(in_several(estimator, blocks([250, 400], X, y, w)), want, X)


@pytest.mark.wide
@pytest.mark.parametrize(("nodes", "workers"), [(1, 1), (2, 2), (3, 2), (3, 3), (7, 3)])
def test_how_many_nodes_and_processes_there_are_never_matters(nodes: int, workers: int) -> None:
    estimator = classifier(n_estimators=4, **ANY)
    dealt_rows = np.concatenate([np.arange(len(X))[node::nodes] for node in range(nodes)])
    want = clone(estimator).fit(X[dealt_rows], KINDS[dealt_rows])
    assert_same(in_several(estimator, dealt(nodes, X, KINDS), workers), want, X)


@pytest.mark.wide
@examples(16)
@given(st.lists(st.integers(0, 600), min_size=2, max_size=4))
def test_where_rows_are_cut_never_matters(cuts: list[int]) -> None:
    want = classifier(n_estimators=3, **ANY).fit(X, LABELS)
    assert_same(in_several(classifier(n_estimators=3, **ANY), blocks(cuts, X, LABELS)), want, X)


@pytest.mark.wide
def test_types_of_nodes_become_those_of_all_rows() -> None:
    whole = np.round(np.nan_to_num(X) * 1000)
    data = {
        "single": (whole[:200].astype(np.float32), Y[:200]),
        "integers": (whole[200:450].astype(np.int64), Y[200:450]),
        "doubles": (whole[450:], Y[450:]),
    }
    assert_same(in_several(regressor(), data, 3), regressor().fit(whole, Y), whole)


def grows(later: bool, question: Any, ctx: Ctx) -> bool:
    return ctx.node == "n1" and isinstance(question, Grow) and bool(question.trees[0]) == later


FIRST, LATER = partial(grows, False), partial(grows, True)


def bins(question: Any, ctx: Ctx) -> bool:
    return ctx.node == "n1" and isinstance(question, Bin)


def kill_at_the_fifth_tree(local: Any) -> Any:
    update, calls = lightgbm.Booster.update, []

    def counting(*args: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            kill(local)
        return update(*args, **named)

    lightgbm.Booster.update = counting
    return local


@pytest.mark.wide
@pytest.mark.parametrize(
    ("act", "when"),
    [(kill, bins), (kill, FIRST), (kill, LATER), (kill_at_the_fifth_tree, LATER)],
    ids=["bins", "first trees", "later trees", "amid trees"],
)
def test_a_killed_worker_is_replaced_and_the_trees_are_the_same(
    act: Callable[[Any], Any], when: Callable[[Any, Ctx], bool], tmp_path: Path
) -> None:
    estimator = classifier(n_estimators=25, num_leaves=5, **ANY)
    learner = Disturbed(learner_for(estimator), when, act, tmp_path / "done", same_updates)
    model = in_workers(learner, blocks([300], X, LABELS), 2)
    assert (tmp_path / "done").exists()
    assert_same(model, clone(estimator).fit(X, LABELS), X)


@pytest.mark.slow
def test_a_worker_that_hangs_is_named_by_the_deadline() -> None:
    learner = Disturbed(learner_for(regressor(n_estimators=30)), LATER, hang)
    with pytest.raises(tk.TalkootError, match="node 'n1'.*no answer before the deadline"):
        in_workers(learner, blocks([300], X, Y), 2, tk.rounds(deadline=patient(45)))


def stop(local: Any) -> Any:
    os.kill(os.getpid(), signal.SIGSTOP)
    return local


@pytest.mark.slow
def test_a_worker_that_is_stopped_is_named_by_its_silence() -> None:
    learner = Disturbed(learner_for(regressor(n_estimators=30)), LATER, stop)
    on = tk.Local(2, silence=patient(5))
    with pytest.raises(tk.TalkootError, match="node 'n1'.*no sign of life"):
        in_workers(learner, blocks([300], X, Y), 2, on=on)


@pytest.mark.wide
@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (regressor(objective="regression_l1"), "objective='regression_l1'"),
        (regressor(objective="quantile"), "objective='quantile'"),
        (regressor(boosting_type="dart"), "boosting='dart'"),
        (regressor(data_sample_strategy="goss"), "data_sample_strategy='goss'"),
        (regressor(subsample=0.5, subsample_freq=1), "subsample="),
        (regressor(extra_trees=True), "extra_trees"),
        (regressor(linear_tree=True), "linear_tree"),
        (regressor(reg_lambda=1.0), "reg_lambda="),
        (regressor(reg_alpha=1.0), "reg_alpha="),
        (regressor(min_split_gain=1.0), "min_split_gain="),
        (regressor(path_smooth=1.0), "path_smooth="),
        (regressor(max_delta_step=1.0), "max_delta_step="),
        (regressor(monotone_constraints=[1, 0, 0, 0, 0, 0]), "monotone_constraints="),
        (regressor(interaction_constraints=[[0, 1], [2, 3, 4, 5]]), "interaction_constraints="),
        (regressor(feature_fraction_bynode=0.5), "colsample_bynode="),
        (regressor(boost_from_average=False), "boost_from_average="),
        (regressor(early_stopping_round=3), "early_stopping_round="),
        (regressor(objective="fair"), "min_child_samples="),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_the_same_in_several_processes_is_refused_before_training(
    estimator: Any, words: str
) -> None:
    with pytest.raises(tk.PlanError, match=f"{words}.*in 2 processes|in 2 processes.*{words}") as caught:
        in_several(estimator, blocks([300], X, Y))
    assert "tk.Inline()" in str(caught.value)


@pytest.mark.wide
def test_a_process_whose_targets_are_all_zero_is_refused_by_name() -> None:
    data = {"quiet": (X[:100], np.zeros(100)), "busy": (X[100:], COUNTS[100:] + 1)}
    with pytest.raises(tk.DataError, match="all targets of 'quiet' are 0"):
        in_several(regressor(objective="poisson", **ANY), data)


def meshes(size: int) -> list[Mesh]:
    listeners = [Listener(alone=True) for _ in range(size)]
    addresses = [listener.address for listener in listeners]
    with ThreadPoolExecutor(size) as threads:
        found = list(threads.map(lambda i: connected(listeners[i], "key", i, addresses), range(size)))
    for listener in listeners:
        listener.close()
    return found


@pytest.mark.parametrize("size", [2, 3, 5])
def test_processes_exchange_more_than_their_sockets_hold(size: int) -> None:
    found, many = meshes(size), 1 << 20

    def exchange(mesh: Mesh) -> list[int]:
        sent = [bytes([10 * mesh.rank + other]) * many for other in range(size)]
        room = [bytearray(many) for _ in range(size)]
        mesh.exchange(sent, [memoryview(each) for each in room])
        return [each[0] if len(set(each)) == 1 else -1 for each in room]

    with ThreadPoolExecutor(size) as threads:
        got = list(threads.map(exchange, found))
    for rank, values in enumerate(got):
        assert [value for i, value in enumerate(values) if i != rank] == [
            10 * i + rank for i in range(size) if i != rank
        ]
    for mesh in found:
        mesh.close()


def test_one_that_sends_nothing_or_leaves_is_named() -> None:
    first, second, third = meshes(3)
    room = [memoryview(bytearray(1)) for _ in range(3)]
    with pytest.raises(PeerLost, match="sent nothing for 0.1 s") as caught:
        first.exchange([b"!"] * 3, room, 0.1)
    assert caught.value.rank == 1
    third.close()
    second.exchange([b"!", b"", b""], [room[0], room[1][:0], room[2][:0]], patient(10))
    with pytest.raises(PeerLost, match="is gone") as caught:
        second.exchange([b"", b"", b"!"], [room[0][:0], room[1][:0], room[2]], patient(10))
    assert caught.value.rank == 2
    first.close()
    second.close()


def test_strangers_are_turned_away_and_whoever_does_not_come_is_named() -> None:
    listener = Listener(alone=True)
    host, _, port = listener.address.rpartition(":")
    with socket.create_connection((host, int(port))) as stranger:
        stranger.sendall(b"x" * 20)
        with pytest.raises(PeerLost, match="did not come") as caught:
            connected(listener, "key", 0, [listener.address, "127.0.0.1:1"], 0.3)
    assert caught.value.rank == 1
    caller = threading.Thread(target=decline, args=("key", [listener.address]))
    caller.start()
    with pytest.raises(PeerLost, match="lost its rows"):
        connected(listener, "key", 0, [listener.address, "127.0.0.1:1"], patient(10))
    caller.join()
    listener.close()


@examples(50)
@given(st.integers(0, 10_000), st.sampled_from([4, 63, 255]), st.booleans(), st.booleans())
def test_rows_go_where_lightgbm_sends_them(seed: int, bins: int, zeros: bool, missing: bool) -> None:
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(200, 4)) * (rng.random((200, 4)) < [1, 1, 0.3, 0.1])
    Z[rng.random(Z.shape) < 0.1] = np.nan
    Z[:, 1] = np.round(Z[:, 1])
    params: dict[str, Any] = {
        "max_bin": bins,
        "zero_as_missing": zeros,
        "use_missing": missing,
        "verbosity": -1,
    }
    params |= {"enable_bundle": False, "min_data_in_leaf": 5, "num_threads": 1, "objective": "regression"}
    columns = columns_of(serialized(Z, len(Z), params))
    booster = lightgbm.train(params, lightgbm.Dataset(Z, rng.normal(size=200)), 2)

    def follow(node: Any, rows: np.ndarray) -> None:
        if "split_feature" not in node:
            assert node.get("leaf_count", len(rows)) == len(rows)
            return
        column = columns[node["split_feature"]]
        threshold = int(np.flatnonzero(np.minimum(column.bounds, 1e300) == node["threshold"])[0])
        codes = column.codes(Z[rows, node["split_feature"]])
        left = column.left(codes, threshold, missing_left=node["default_left"])
        follow(node["left_child"], rows[left])
        follow(node["right_child"], rows[~left])

    for tree in booster.dump_model()["tree_info"]:
        follow(tree["tree_structure"], np.arange(200))


def test_another_form_of_bins_is_refused() -> None:
    saved = serialized(np.nan_to_num(X), len(X), {"verbosity": -1})
    for other in (saved[:-8], saved + bytes(8), b"", saved.replace(b"v1", b"w2")):
        with pytest.raises(tk.DataError, match="bins of this LightGBM cannot be read"):
            columns_of(other)


def test_rows_for_bins_follow_the_seed() -> None:
    params = {"subsample_for_bin": 50, "verbosity": -1}
    assert len(sampled(200, params)) == 50
    assert sampled(200, {**params, "random_state": 1}).tolist() != sampled(200, params).tolist()


@pytest.mark.parametrize("objective", ["regression", "poisson", "binary", "multiclass", "multiclassova"])
def test_the_start_is_lightgbms(objective: str) -> None:
    classes = {"binary": 2, "multiclass": 3, "multiclassova": 3}.get(objective)
    y = np.arange(40) % (classes or 40) + (0 if classes else 1.0)
    params: dict[str, Any] = {"objective": objective, "verbosity": -1, "min_data_in_leaf": 100}
    if classes and classes > 2:
        params["num_class"] = classes
    w = np.linspace(0.5, 2, 40)
    booster = lightgbm.train(params, lightgbm.Dataset(np.arange(40.0).reshape(-1, 1), y, weight=w), 1)
    want = booster.predict(np.zeros((1, 1)), raw_score=True).reshape(-1)
    sums = target_sums(y.astype(int) if classes else y, w, classes, roots=False)
    np.testing.assert_allclose(start_of(objective, sums, 1.0), want, rtol=1e-12)


def test_a_start_goes_into_the_first_tree_only() -> None:
    model = regressor(boost_from_average=False).fit(X, Y)
    text = model.booster_.model_to_string()
    lifted = lightgbm.Booster(model_str=of_one_process(text, np.array([2.5]), len(X), "-1"))
    np.testing.assert_allclose(lifted.predict(X), model.predict(X) + 2.5, rtol=1e-12)
    np.testing.assert_allclose(
        lifted.predict(X, start_iteration=1), model.predict(X, start_iteration=1), rtol=1e-12
    )

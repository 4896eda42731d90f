"""Nodes that are lost in any phase: the survivors' sum to the last bit, or a round dropped by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from masking import PHASES, SUM, Losing, Sites
from sklearn.linear_model import Ridge

import talkoot as tk
from documented import only_bytes
from examples import examples
from talkoot.core.context import Ctx
from talkoot.core.engine import Engine, Run
from talkoot.core.errors import MaskRefused, PlanError, QuorumError, TalkootError
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.sync import rounds
from talkoot.core.transform import Transform
from talkoot.core.update import Update, total
from talkoot.data.schema import agree
from talkoot.guards.fixed import fixed
from talkoot.guards.mask import graph
from talkoot.guards.mask.mask import Mask
from talkoot.guards.mask.messages import KEYS, SHARES, SURVIVORS, UNMASK
from talkoot.testing.compare import assert_same
from talkoot.testing.engines import FailingNode
from talkoot.testing.scripted import Scripted
from talkoot.testing.strategies import updates
from talkoot.testing.toys import Walk

pytestmark = pytest.mark.wide

BEFORE = (KEYS, SHARES, "update")
X = np.random.default_rng(5).normal(size=(70, 3))


def same(one: Any, other: Any) -> None:
    assert_same(one, other, rtol=0)


def held(
    plain: Sequence[Update], lost: Mapping[str, Collection[str]], cheats: int = 0
) -> tuple[Update, list[str]]:
    """The decoded sum of a round in which nodes are lost, and whose updates are in it."""
    names = tuple(f"n{i}" for i in range(len(plain)))
    sites, left = Sites(names, cheats), list(names)
    guard = fixed()

    def here(phase: str) -> list[str]:
        return [name for name in left if name not in lost.get(phase, ())]

    board: dict[str, Any] = {}
    for phase in (KEYS, SHARES):
        left = here(phase)
        board[phase] = sites.answer(phase, left, board)
    left = here("update")
    sent = []
    for name in left:
        ctx = sites.ctx(name, board, names, "11" * 32, 0)
        encoded, _ = guard.encode(plain[names.index(name)], None, ctx)
        masked, sites.states[name] = sites.masks[name].encode(encoded, sites.states[name], ctx)
        sent.append(masked)
    survivors = list(left)
    for phase in (SURVIVORS, UNMASK):
        cohort, left = tuple(left), here(phase)
        board[phase] = sites.answer(phase, left, board, cohort=cohort)
    ctx, link = Ctx(cohort=names, board=board, about="11" * 32), Mask(cheats)
    if (obstacle := link.obstacle(ctx)) is not None:
        raise obstacle
    update, _ = link.decode(total(sent), None, ctx)
    return guard.decode(update, None, ctx)[0], survivors


@st.composite
def losses(draw: st.DrawFn, nodes: int) -> dict[str, list[str]]:
    names = draw(st.permutations([f"n{i}" for i in range(nodes)]))
    cuts = sorted(draw(st.lists(st.integers(0, nodes), min_size=5, max_size=5)))
    ends = [0, *cuts]
    return {phase: list(names[a:b]) for phase, a, b in zip(PHASES, ends, cuts, strict=False)}


@examples(120)
@given(st.data(), st.integers(3, 7), st.integers(0, 2))
def test_whatever_is_lost_the_sum_is_that_of_the_survivors_or_nothing(
    data: st.DataObject, nodes: int, cheats: int
) -> None:
    plain = data.draw(st.lists(updates(sums_only=True, zero=False), min_size=nodes, max_size=nodes))
    lost = data.draw(losses(nodes))
    names = [f"n{i}" for i in range(nodes)]
    gone = [len([n for phase in PHASES[: i + 1] for n in lost[phase]]) for i in range(len(PHASES))]
    least = graph.threshold(nodes, cheats)
    possible = nodes - gone[-1] >= least and nodes - gone[2] >= max(least, 3)
    try:
        found, survivors = held(plain, lost, cheats)
    except (MaskRefused, QuorumError):
        assert not possible
        return
    assert possible
    encoded = [fixed().encode(plain[names.index(name)], None, Ctx())[0] for name in survivors]
    same(found, fixed().decode(total(encoded), None, Ctx())[0])


def walked(engine: Engine, chain: Sequence[Transform], *, nodes: int = 5, count: int = 3, **sync: Any) -> Run:
    schema, bound = agree(tk.shards(X, nodes=nodes), tk.Inline())
    plan = Plan(Walk(), chain=[tk.weigh("rows"), *chain], sync=rounds(count, **sync))
    return run(plan, bound, engine, schema=schema)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("gone", [(), ("node1",), ("node1", "node4")], ids=len)
def test_a_run_goes_on_without_those_who_are_lost(phase: str, gone: tuple[str, ...]) -> None:
    masked = walked(Losing({(1, phase): gone}), [tk.fixed(), tk.mask()], quorum=3)
    plain = walked(Losing({(1, "update"): gone if phase in BEFORE else ()}), [tk.fixed()], quorum=3)
    same(masked.model, plain.model)
    assert [o.committed for o in masked.history] == [True] * 3
    arrived = set(masked.history[1].arrived)
    assert arrived == {f"node{i}" for i in range(5)} - set(gone if phase in BEFORE else ())


@pytest.mark.parametrize("phase", PHASES)
def test_below_the_threshold_a_round_is_dropped_by_name_and_the_next_one_counts(phase: str) -> None:
    gone = ("node0", "node2", "node3")
    masked = walked(Losing({(1, phase): gone}), [tk.fixed(), tk.mask()], quorum=2)
    assert [o.committed for o in masked.history] == [True, False, True]
    reasons = " ".join(masked.history[1].failed.values())
    assert "needs 3" in reasons or "2 of 5 nodes helped to take the masks away, and 3 must" in reasons
    plain = walked(Scripted([(), [f"node{i}" for i in range(5)]]), [tk.fixed()], quorum=2)
    same(masked.model, plain.model)


def test_rounds_that_are_missed_again_and_again_are_an_error_by_name() -> None:
    lost = {(index, UNMASK): ("node0", "node2", "node3") for index in range(3)}
    with pytest.raises(QuorumError, match="0 of 5 nodes arrived.*3 rounds in a row .*2 of 5 nodes helped"):
        walked(Losing(lost), [tk.fixed(), tk.mask()], quorum=2)


@pytest.mark.parametrize("phase", PHASES)
def test_an_exact_learner_waits_for_all_and_then_has_its_answer(phase: str) -> None:
    schema, bound = agree(tk.shards(X, X @ [1.0, 2.0, 3.0], nodes=4), tk.Inline(), labels=False)
    chain = [tk.fixed(), tk.mask()]
    engine = Losing({(0, phase): ("node1",)})
    learner = tk.learner_for(Ridge())
    masked = run(Plan(learner, chain=chain, sync=rounds(quorum=1)), bound, engine, schema=schema)
    plain = run(Plan(learner, chain=[tk.fixed()]), bound, tk.Inline(), schema=schema)
    assert [o.committed for o in masked.history] == ([False, True] if phase in BEFORE else [True])
    same(learner.finish(masked.model).coef_, learner.finish(plain.model).coef_)


def test_no_secret_is_released_while_an_exact_learner_waits() -> None:
    schema, bound = agree(tk.shards(X, X[:, 0], nodes=4), tk.Inline())
    engine = Losing({(0, "update"): ("node1",)})
    plan = Plan(tk.learner_for(Ridge()), chain=[tk.fixed(), tk.mask()], sync=rounds(quorum=4))
    run(plan, bound, engine, schema=schema)
    sets = [{key.split()[0] for key in known.released} for known in engine.known.values()]
    assert sets == [{"signed", "released"}] * 4
    assert all(len(known.released) == 2 for known in engine.known.values())  # of the second round alone


def test_without_a_quorum_the_first_loss_is_the_error() -> None:
    with pytest.raises(TalkootError, match="node 'node1', round 0: lost in shares"):
        walked(Losing({(0, SHARES): ("node1",)}), [tk.fixed(), tk.mask()])


def test_a_grace_is_refused() -> None:
    with pytest.raises(PlanError, match=r"grace=.* Leave grace= out"):
        Plan(
            Walk(),
            chain=[tk.weigh("rows"), tk.fixed(), tk.mask()],
            sync=tk.every(steps=2, rounds=2, quorum=2, grace=0.5),
        )


def test_a_mask_needs_fixed_point_and_a_sum() -> None:
    with pytest.raises(PlanError, match=r"Mask\(cheats=0\) works on what stage fixed makes"):
        Plan(Walk(), chain=[tk.weigh("rows"), tk.mask()], sync=rounds(1))
    with pytest.raises(PlanError, match="only the sum can be read"):
        Plan(Walk(), chain=[tk.fixed(), tk.mask()], merge=tk.Median(), sync=rounds(1))
    with pytest.raises(PlanError, match="cheats=-1"):
        tk.mask(cheats=-1)


@pytest.mark.parametrize("engine", [tk.Inline(), tk.Inline(2), tk.Local(2)], ids=repr)
def test_engines_of_ours_have_the_same_bits(engine: Engine) -> None:
    chain = [tk.fixed(), tk.mask()]
    same(walked(engine, chain).model, walked(tk.Inline(), [tk.fixed()]).model)
    schema, bound = agree(tk.shards(X, nodes=4), tk.Inline())
    plan = Plan(FailingNode("node1"), chain=chain, sync=rounds(2, quorum=3))
    assert run(plan, bound, engine, schema=schema).model["arrived"].tolist() == [6.0]


def test_of_many_nodes_each_shares_masks_with_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "degree", lambda nodes: 6)
    names = tuple(f"n{i}" for i in range(12))
    plain = [Update(values={"x": np.array([float(i)])}, weight=1.0) for i in range(12)]
    lost = {phase: (names[2 * at],) for at, phase in enumerate((SHARES, "update", UNMASK))}
    found, survivors = held(plain, lost)
    assert len(survivors) == 10
    assert found.values["x"][0] == sum(float(name[1:]) for name in survivors)
    assert found.weight == 10


def test_where_nothing_but_bytes_reaches_the_nodes() -> None:
    engine = only_bytes({"Walk": Walk})
    same(walked(engine, [tk.fixed(), tk.mask()]).model, walked(tk.Inline(), [tk.fixed()]).model)


def test_all_that_leaves_a_node_is_masked_and_another_each_round() -> None:
    engine = Losing()
    walked(engine, [tk.fixed(), tk.mask()], nodes=3, count=2)
    sent = [update.values[SUM] for update in engine.sent if SUM in update.values]
    words = [leaf.words.tobytes() for each in sent for leaf in each.leaves.values()]
    assert len(sent) == 6
    assert len(set(words)) == len(words)
    assert all(update.weight == 0 for update in engine.sent)

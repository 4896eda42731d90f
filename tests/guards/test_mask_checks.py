"""A coordinator that cheats is refused by name, and wins as soon as the check that stops it is taken out."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
from masking import OTHER, QUESTION, SUM, Sites, number_of

from talkoot.core.context import Ctx, addressed
from talkoot.core.errors import DataError, MaskRefused, PlanError
from talkoot.core.update import Leaf, Update
from talkoot.guards.fixed import array_of, fixed
from talkoot.guards.mask import checks, crypto, masks, node
from talkoot.guards.mask.identity import Identity
from talkoot.guards.mask.mask import Mask
from talkoot.guards.mask.messages import KEYS, SHARES, SURVIVORS, UNMASK

NAMES = ("a", "b", "c", "d", "e")
THE_SECRET = number_of("a")


def close(found: float) -> bool:
    return abs(found - THE_SECRET) < 1e-9


def strangers(sites: Sites) -> bool:
    """The coordinator brings nodes of its own into the cohort, and takes their numbers off the sum."""
    cohort, fake = ("a", "x", "y"), Sites(("x", "y"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sites, "names", cohort)
        patch.setattr(fake, "names", cohort)
        for link in fake.masks.values():
            assert link.identity is not None
            own = sites.masks["a"].identity
            assert own is not None
            cast("dict[str, bytes]", link.identity.roster)["a"] = cast("dict[str, bytes]", own.roster)["a"]
        board = {KEYS: sites.answer(KEYS, "a", {}) | fake.answer(KEYS, "xy", {})}
        board[SHARES] = sites.answer(SHARES, "a", board) | fake.answer(SHARES, "xy", board)
        sent = sites.send("a", board) | fake.send("xy", board)
        board[SURVIVORS] = sites.answer(SURVIVORS, "a", board) | fake.answer(SURVIVORS, "xy", board)
        board[UNMASK] = sites.answer(UNMASK, "a", board) | fake.answer(UNMASK, "xy", board)
        return close(sites.read(sent.values(), board) - number_of("xy"))


def impersonated(sites: Sites) -> bool:
    """The coordinator changes keys on their way and plays all nodes but "a", so it gets the shares of "a"."""
    fake = Sites(NAMES)
    board = {KEYS: sites.answer(KEYS, "a", {}) | fake.answer(KEYS, "bcde", {})}
    board[SHARES] = sites.answer(SHARES, "a", board) | fake.answer(SHARES, "bcde", board)
    sent = sites.send("a", board) | fake.send("bcde", board)
    board[SURVIVORS] = sites.answer(SURVIVORS, "a", board) | fake.answer(SURVIVORS, "bcde", board)
    board[UNMASK] = fake.answer(UNMASK, "bcde", board)
    return close(sites.read(sent.values(), board) - number_of("bcde"))


def own_keys_changed(sites: Sites) -> bool:
    """The others, and the node itself, are shown keys of an attempt that was given up."""
    old = sites.answer(KEYS, "a", {})
    board = {KEYS: sites.answer(KEYS, NAMES, {}) | old}
    return "a" in sites.answer(SHARES, "a", board)


def copied_key(sites: Sites) -> bool:
    """A node that works with the coordinator signs the key of another as its own."""
    board = {KEYS: sites.answer(KEYS, "abcd", {})}
    theirs = board[KEYS]["d"]
    real = crypto.agreement_key
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crypto, "agreement_key", lambda private: theirs["mask"].tobytes())
        board[KEYS] |= sites.answer(KEYS, "e", {})
    assert crypto.agreement_key is real
    return "a" in sites.answer(SHARES, "a", board)


def two_updates(sites: Sites) -> bool:
    """A node works twice in a round, as when it trains on, and sends both updates under the same masks."""
    board = sites.before()
    words = []
    for number in (3.0, 10.0):
        ctx = sites.ctx("a", board, NAMES, QUESTION, 0)
        plain, _ = fixed().encode(Update(values={"x": np.array([number])}), None, ctx)
        sent, sites.states["a"] = sites.masks["a"].encode(plain, sites.states["a"], ctx)
        words.append(sent.values[SUM].leaves["x"])
    return bool(array_of(words[1] - words[0])[0] == 7.0)


def another_question(sites: Sites) -> bool:
    """One node is shown another model than the round was announced with."""
    board = sites.before()
    return SUM in sites.send("a", board, about=OTHER)["a"].values


def swapped_shares(sites: Sites) -> bool:
    """What one node sealed is given out as another's, so that shares are not where they should be."""
    board = sites.before()
    board[SHARES]["b"][addressed("a", "share")] = board[SHARES]["c"][addressed("a", "share")]
    return "a" in sites.send("a", board)


def few_survivors(sites: Sites) -> bool:
    """All are made to believe that only one update arrived."""
    board = sites.before()
    sent = sites.send(NAMES, board)
    board[SURVIVORS] = sites.answer(SURVIVORS, NAMES, board, cohort=("a",))
    for each in board[SURVIVORS].values():
        each["survivors"] = np.array([0])
    board[UNMASK] = sites.answer(UNMASK, NAMES, board)
    return close(sites.read([sent["a"]], board))


def survivors_that_never_came(sites: Sites) -> bool:
    """Nodes that sent nothing are given out as survivors, so that the sum is of one."""
    board = {KEYS: sites.answer(KEYS, NAMES, {})}
    board[SHARES] = sites.answer(SHARES, "abc", board)
    sent = sites.send("abc", board)
    board[SURVIVORS] = sites.answer(SURVIVORS, "abc", board, cohort=("a", "d", "e"))
    for each in board[SURVIVORS].values():
        each["survivors"] = np.array([0])  # what is left of the sum
    board[UNMASK] = sites.answer(UNMASK, "abc", board)
    return close(sites.read([sent["a"]], board))


def two_sets(sites: Sites) -> bool:
    """Nodes sign two sets of survivors in one attempt."""
    board = sites.before()
    sites.send(NAMES, board)
    signed = [sites.answer(SURVIVORS, "a", board, cohort=each) for each in (NAMES, ("a", "b", "c", "d"))]
    return len(signed) == 2


def different_sets(sites: Sites) -> bool:
    """Nodes are shown different survivors, and release different secrets of the same node."""
    board = sites.before()
    sites.send(NAMES, board)
    one = sites.answer(SURVIVORS, "abc", board, cohort=NAMES)
    two = sites.answer(SURVIVORS, "de", board, cohort=("a", "b", "c", "d"))
    board[SURVIVORS] = one | two
    first, last = (sites.answer(UNMASK, each, board)[each] for each in "ae")
    return "seed:5" in first and "key:5" in last


def the_difference_of_two_sums(sites: Sites) -> bool:
    """The same question over the nodes without "a", and then with it."""
    found = []
    for index, nodes in enumerate((("b", "c", "d", "e"), NAMES)):
        board = sites.before(index=index)
        sent = sites.send(nodes, board, index=index)
        board[SURVIVORS] = sites.answer(SURVIVORS, nodes, board, cohort=nodes, index=index)
        board[UNMASK] = sites.answer(UNMASK, nodes, board, index=index)
        if index == 0:
            for name in "bcde":
                assert len(board[UNMASK][name]) == 5
        survivors = np.array([NAMES.index(name) for name in sorted(nodes)])
        assert all((each["survivors"] == survivors).all() for each in board[SURVIVORS].values())
        found.append(sites.read(sent.values(), board, index=index))
    return close(found[1] - found[0])


ATTACKS: dict[str, tuple[Callable[[Sites], bool], str]] = {
    "require_listed": (strangers, "'x' is not on the approved roster"),
    "require_signed": (impersonated, "keys of 'b' are not signed by it"),
    "require_own": (own_keys_changed, "own keys came back changed"),
    "require_distinct": (copied_key, "two nodes have the same key"),
    "require_once": (two_updates, "has sent its update in this round"),
    "require_question": (another_question, "the question is not the one"),
    "require_opened": (swapped_shares, "'b' sealed for this node cannot be opened"),
    "require_survivors": (few_survivors, "1 nodes are in the sum, and .* needs 3"),
    "require_seen": (survivors_that_never_came, "'d', 'e' is in the sum and sent no shares"),
    "require_one_set": (two_sets, "signed another set of survivors"),
    "require_signatures": (different_sets, "nodes signed the same survivors"),
    "require_same_release": (the_difference_of_two_sums, "released for this question before"),
}
WITHOUT: dict[str, Callable[..., Any]] = {
    "require_opened": lambda node, plain, size: plain or bytes(size),
}
EARLY = {  # what would be refused later, or could not go on; and what would be sent in the clear
    "require_three",
    "require_round",
    "require_known",
    "require_keys",
    "require_senders",
    "require_sums",
    "require_usable",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_by_name(name: str) -> None:
    attack, words = ATTACKS[name]
    with pytest.raises(MaskRefused, match=words):
        attack(Sites(NAMES))


@pytest.mark.parametrize("name", ATTACKS)
def test_without_its_check_the_coordinator_wins(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, name, WITHOUT.get(name) or (lambda *args, **named: None))
    if name == "require_listed":  # whoever signs is believed
        monkeypatch.setattr(Identity, "signer", lambda identity, who, posted: posted)
    assert ATTACKS[name][0](Sites(NAMES))


def test_every_check_is_attacked() -> None:
    known = {name for name, _ in inspect.getmembers(checks, inspect.isfunction) if name.startswith("require")}
    assert known == ATTACKS.keys() | EARLY


def test_different_questions_give_noise_even_where_no_check_finds_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "require_question", lambda *args: None)
    found = one_with_another_question()
    assert abs(found - number_of(NAMES)) > 1e6
    monkeypatch.setattr(node, "pair_stream", lambda about, *keys: masks_about(QUESTION, *keys))
    assert abs(one_with_another_question() - number_of(NAMES)) < 1e-9


masks_about = node.pair_stream


def one_with_another_question() -> float:
    sites = Sites(NAMES)
    board = sites.before()
    sent = sites.send("bcde", board) | sites.send("a", board, about=OTHER)
    board[SURVIVORS] = sites.answer(SURVIVORS, NAMES, board)
    board[UNMASK] = sites.answer(UNMASK, NAMES, board)
    return sites.read(sent.values(), board)


def test_two_nodes_are_refused() -> None:
    with pytest.raises(PlanError, match="with two, the other's sum is deducible. Take at least 3 nodes"):
        Sites(("a", "b")).answer(KEYS, "a", {})


def test_a_node_without_keys_of_the_round_says_so() -> None:
    sites = Sites(NAMES)
    board = sites.before()
    for phase, index in ((SHARES, 1), (SURVIVORS, 2)):
        with pytest.raises(MaskRefused, match=f"no keys of round {index}"):
            sites.answer(phase, "a", board, index=index)
    sites.states["a"] = None
    with pytest.raises(MaskRefused, match="no keys of round 0"):
        sites.send("a", board)


def test_shares_are_sent_once() -> None:
    sites = Sites(NAMES)
    board = sites.before()
    with pytest.raises(MaskRefused, match="has sent its shares in this round"):
        sites.answer(SHARES, "a", board)


def test_secrets_are_released_once() -> None:
    sites = Sites(NAMES)
    board = sites.before()
    sites.send(NAMES, board)
    board[SURVIVORS] = sites.answer(SURVIVORS, NAMES, board)
    sites.answer(UNMASK, "a", board)
    with pytest.raises(MaskRefused, match="no keys of round 0"):
        sites.answer(UNMASK, "a", board)


def test_strangers_and_too_few_are_refused() -> None:
    sites = Sites(NAMES)
    board = {KEYS: sites.answer(KEYS, NAMES, {})}
    with pytest.raises(MaskRefused, match="'f' posted keys and is not in the round"):
        sites.answer(SHARES, "a", {KEYS: board[KEYS] | {"f": board[KEYS]["e"]}})
    with pytest.raises(MaskRefused, match="2 nodes posted keys, and .* needs 3"):
        sites.answer(SHARES, "a", {KEYS: {name: board[KEYS][name] for name in "ab"}})
    board[SHARES] = sites.answer(SHARES, NAMES, board)
    with pytest.raises(MaskRefused, match="2 nodes sent shares, and .* needs 3"):
        sites.send("a", board | {SHARES: {name: board[SHARES][name] for name in "ab"}})


@pytest.mark.parametrize("wrong", [None, np.zeros(5, np.uint8), np.zeros(32), "text"])
def test_garbage_on_the_board_is_refused_by_name(wrong: Any) -> None:
    sites = Sites(NAMES)
    board = {KEYS: sites.answer(KEYS, NAMES, {})}
    board[KEYS]["b"]["seal"] = wrong
    with pytest.raises(MaskRefused, match="'b' posted no seal of 32 bytes"):
        sites.answer(SHARES, "a", board)


def test_a_key_that_gives_no_secrets_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    sites = Sites(NAMES)
    board = {KEYS: sites.answer(KEYS, "abde", {})}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crypto, "agreement_key", lambda private: bytes(32))
        board[KEYS] |= sites.answer(KEYS, "c", {})
    with pytest.raises(MaskRefused, match="'c' posted a key with which every secret is zero"):
        sites.answer(SHARES, "a", board)


def gives_secrets(public: bytes) -> bool:
    """As the library says, which refuses a secret of zeros."""
    try:
        crypto.agreed(Ctx().secret(), public)
    except ValueError:
        return False
    return True


def test_keys_are_usable_where_they_give_secrets() -> None:
    prime = 2**255 - 19
    small = sorted(crypto._SMALL_ORDER)
    again = [u + prime for u in small if u + prime < 2**255]  # the same points, written with a larger number
    for u in (*small, *again):
        for number in (u, u + 2**255):
            public = number.to_bytes(32, "little")
            assert not crypto.is_usable(public)
            assert not gives_secrets(public)
    near = {u + step for u in small for step in (-2, -1, 1, 2)} - {*small, -1, -2}
    for number in (*near, *(int.from_bytes(Ctx().secret(), "little") for _ in range(50))):
        public = number.to_bytes(32, "little")
        assert crypto.is_usable(public) == gives_secrets(public)


def test_one_node_that_posts_garbage_does_not_keep_the_others_from_reading() -> None:
    sites = Sites(NAMES)
    board = sites.before()
    sent = sites.send(NAMES, board)
    board[SURVIVORS] = sites.answer(SURVIVORS, NAMES, board)
    board[UNMASK] = sites.answer(UNMASK, NAMES, board)
    board[KEYS]["a"]["header"] = np.zeros(32, np.uint8)
    board[SURVIVORS]["a"]["survivors"] = np.array([["x"], ["y"]])
    board[UNMASK]["a"] = {"seed:1": "text", "seed:2": np.zeros(3), "seed:3": None}
    assert sites.read(sent.values(), board) == pytest.approx(number_of(NAMES))


def test_keys_are_bound_to_the_cohort_the_question_the_round_and_the_run() -> None:
    for other in (
        {"cohort": ("a", "b", "c", "d", "e", "f")},
        {"about": OTHER},
        {"index": 1},
    ):
        sites = Sites(NAMES)
        board = {KEYS: sites.answer(KEYS, "bcde", {}, **other) | sites.answer(KEYS, "a", {})}
        with pytest.raises(MaskRefused, match="not signed by it for this run, round, cohort and question"):
            sites.answer(SHARES, "a", board)
    sites = Sites(NAMES)
    own = sites.masks["b"].identity
    assert own is not None
    sites.masks["b"] = Mask(0, type(own)(key=own.key, roster=own.roster, run="another run"))
    with pytest.raises(MaskRefused, match="keys of 'b' are not signed"):
        sites.answer(SHARES, "a", {KEYS: sites.answer(KEYS, NAMES, {})})


def test_an_abandoned_attempt_may_be_repeated_with_other_nodes() -> None:
    sites = Sites(NAMES)
    board = sites.before()
    sites.send(NAMES, board)
    sites.answer(SURVIVORS, NAMES, board)  # and no secret is released
    board = sites.before(index=1)
    nodes = ("a", "b", "d")
    sent = sites.send(nodes, board, index=1)
    board[SURVIVORS] = sites.answer(SURVIVORS, nodes, board, cohort=nodes, index=1)
    board[UNMASK] = sites.answer(UNMASK, nodes, board, index=1)
    assert sites.read(sent.values(), board, index=1) == pytest.approx(number_of(nodes), abs=1e-9)


def test_leaves_that_do_not_add_are_refused_with_advice() -> None:
    sites = Sites(NAMES)
    board = sites.before()
    ctx = sites.ctx("a", board, NAMES, QUESTION, 0)
    low = Update(values={"low": np.ones(1)}, weight=1.0, kinds={"low": Leaf.MIN})
    state = sites.states["a"]
    with pytest.raises(DataError, match="'low' merges by min.*Declare bounds or a vocabulary"):
        sites.masks["a"].encode(fixed().encode(low, None, ctx)[0], state, ctx)
    with pytest.raises(DataError, match="leaf 'w' is not in fixed point"):
        sites.masks["a"].encode(Update(values={"w": np.ones(1)}), state, ctx)
    with pytest.raises(DataError, match="no rows here.*Leave the node out"):
        sites.masks["a"].encode(Update(), state, ctx)


def test_nothing_but_masked_leaves_are_sent() -> None:
    sites = Sites(NAMES)
    sent = sites.send(NAMES, sites.before())["a"]
    assert list(sent.values) == [SUM]
    assert sent.weight == 0
    assert not sent.kinds
    leaves = sent.values[SUM].leaves
    plain = fixed().encode(value_of_a := Update(values={"x": np.array([1.0])}, weight=1.0), None, Ctx())[0]
    assert value_of_a.weight
    assert leaves.keys() == plain.values.keys()


def test_nodes_that_send_different_sums_are_refused() -> None:
    sites = Sites(NAMES)
    board = sites.before()
    sent = sites.send("ab", board)
    ctx = sites.ctx("c", board, NAMES, QUESTION, 0)
    other = fixed().encode(Update(values={"y": np.ones(1)}), None, ctx)[0]
    third, _ = sites.masks["c"].encode(other, sites.states["c"], ctx)
    with pytest.raises(DataError, match="masks do not cancel: 'x', 'y' is not sent by all"):
        sent["a"] + third


def test_a_wrong_share_is_found_when_the_sum_is_read() -> None:
    sites = Sites(NAMES)
    board = sites.before()
    sent = sites.send("abcd", board)
    board[SURVIVORS] = sites.answer(SURVIVORS, "abcd", board, cohort=("a", "b", "c", "d"))
    board[UNMASK] = sites.answer(UNMASK, "abcd", board)
    assert sites.read(sent.values(), board) == pytest.approx(number_of("abcd"))
    for wrong in ("seed:2", "key:5"):
        broken = {name: dict(values) for name, values in board[UNMASK].items()}
        broken["a"][wrong] = broken["a"][wrong] ^ 1
        with pytest.raises(
            DataError, match="do not give the secret that it announced, so one of 'a', 'b', 'c'"
        ):
            sites.read(sent.values(), board | {UNMASK: broken})


def test_a_sum_of_which_secrets_are_missing_cannot_be_read() -> None:
    sites = Sites(NAMES)
    board = sites.before()
    sent = sites.send(NAMES, board)
    board[SURVIVORS] = sites.answer(SURVIVORS, NAMES, board)
    board[UNMASK] = sites.answer(UNMASK, "ab", board)
    with pytest.raises(Exception, match="2 of 5 nodes helped to take the masks away, and 3 must"):
        sites.read(sent.values(), board)
    assert masks.released("a", "ab") == "seed"

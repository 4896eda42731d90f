"""Hiding: with ideal streams a coordinator's view depends on the survivors' sum alone, over all masks.

Then that the streams are what they should be: known answers, no other source of chance, and bytes that tell a
classifier nothing.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Collection, Iterable
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from masking import SUM, Sites
from sklearn.ensemble import RandomForestClassifier

import talkoot
from talkoot.core.context import Ctx
from talkoot.core.errors import PlanError
from talkoot.core.update import Update
from talkoot.formats.names import by_name
from talkoot.formats.values import Decoder, Encoder
from talkoot.guards.fixed import fixed
from talkoot.guards.mask import crypto, graph, masks, shamir
from talkoot.guards.mask.messages import KEYS, SHARES, SURVIVORS, PublicKeys
from talkoot.guards.mask.node import RoundState
from talkoot.guards.ring import Ring

pytestmark = pytest.mark.wide

RING = 3  # a number of this many values
NODES = ("a", "b", "c")
ORDER = {node: at for at, node in enumerate(NODES)}
PAIRS = tuple(combinations(NODES, 2))
Choice = dict[Any, int]  # what each ideal stream gives


class Ideal:
    """A stream that gives one number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def fill(self, out: np.ndarray) -> None:
        out[...] = self.number


def add_modulo(total: np.ndarray, terms: Iterable[tuple[int, Iterable[np.ndarray]]]) -> None:
    for sign, (words,) in terms:
        total[...] = (total + (words if sign > 0 else RING - words)) % RING


@pytest.fixture(autouse=True)
def tiny_ring(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "ring" in request.node.name:
        monkeypatch.setattr(masks, "add_all", add_modulo)
        hidden.cache_clear()


def leaf(number: int) -> dict[str, Ring]:
    return {"x": Ring(words=np.array([[number]], np.uint64), shape=(1,), dtype="int64", fraction=0)}


def number_in(leaves: dict[str, Ring]) -> int:
    return int(leaves["x"].words[0, 0])


@cache
def hidden(node: str, value: int, own: int, pairs: tuple[int, ...]) -> int:
    """What a node sends."""
    peers = [peer for peer in NODES if peer != node]
    known = dict(zip(peers, pairs, strict=True))
    terms = masks.node_terms(node, peers, ORDER, lambda _: Ideal(own), lambda _, peer: Ideal(known[peer]))
    return number_in(masks.masked(leaf(value), terms))


def choices() -> list[Choice]:
    """All masks there are."""
    names = (*NODES, *PAIRS)
    return [dict(zip(names, numbers, strict=True)) for numbers in product(range(RING), repeat=len(names))]


def pair_of(masks_: Choice, one: str, other: str) -> int:
    return masks_[(min(one, other), max(one, other))]


def sent(values: dict[str, int], masks_: Choice) -> tuple[int, ...]:
    return tuple(
        hidden(
            node,
            values[node],
            masks_[node],
            tuple(pair_of(masks_, node, peer) for peer in NODES if peer != node),
        )
        for node in NODES
    )


def view(
    values: dict[str, int], masks_: Choice, survivors: Collection[str], *, both: str = ""
) -> tuple[Any, ...]:
    """All that the coordinator gets: every masked update, and the secrets that are released."""
    secrets: list[Any] = []
    for node in NODES:
        kinds = {masks.released(node, survivors)} | ({"seed", "key"} if node == both else set())
        if "seed" in kinds:
            secrets.append(masks_[node])
        if "key" in kinds:
            secrets.append(tuple(pair_of(masks_, node, peer) for peer in NODES if peer != node))
    return sent(values, masks_), tuple(secrets)


def views_by_sum(survivors: Collection[str], **more: Any) -> dict[int, set[frozenset[Any]]]:
    """For each sum of the survivors, the distributions of views that inputs with that sum have."""
    every = choices()
    found: dict[int, set[frozenset[Any]]] = {}
    for numbers in product(range(RING), repeat=len(NODES)):
        values = dict(zip(NODES, numbers, strict=True))
        views = Counter(view(values, each, survivors, **more) for each in every)
        total = sum(values[node] for node in survivors) % RING
        found.setdefault(total, set()).add(frozenset(views.items()))
    return found


@pytest.mark.parametrize("survivors", [NODES, ("a", "b"), ("b", "c"), ("a", "c")])
def test_in_a_ring_of_3_a_view_depends_on_the_survivors_sum_alone(survivors: tuple[str, ...]) -> None:
    found = views_by_sum(survivors)
    assert len(found) == RING
    assert all(len(distributions) == 1 for distributions in found.values())
    assert len(set.union(*found.values())) == RING  # and it does tell the sum


@pytest.mark.parametrize("both", ["a", "c"])
def test_in_a_ring_of_3_it_depends_on_more_when_both_secrets_of_a_node_are_released(both: str) -> None:
    found = views_by_sum(("a", "b"), both=both)
    assert any(len(distributions) > 1 for distributions in found.values())


def test_in_a_ring_of_3_a_node_without_its_own_mask_is_bare_once_it_is_given_out_as_lost() -> None:
    every = [each for each in choices() if not any(each[node] for node in NODES)]
    values = [dict(zip(NODES, numbers, strict=True)) for numbers in ((0, 0, 1), (0, 0, 2))]
    first, second = (Counter(view(each, masks_, ("a", "b")) for masks_ in every) for each in values)
    assert first != second


@pytest.mark.parametrize("survivors", [NODES, ("a", "b"), ("b", "c"), ("a", "c")])
def test_in_a_ring_of_3_the_sum_of_survivors_can_be_read(survivors: tuple[str, ...]) -> None:
    lost = [node for node in NODES if node not in survivors]
    rng = np.random.default_rng(1)
    for chosen in rng.permutation(len(every := choices()))[:60]:
        drawn = every[chosen]
        values = dict(zip(NODES, rng.integers(RING, size=3).tolist(), strict=True))
        shown = dict(zip(NODES, sent(values, drawn), strict=True))
        terms = masks.left_terms(
            survivors,
            lost,
            lambda node: [peer for peer in NODES if peer != node],
            ORDER,
            lambda node, drawn=drawn: Ideal(drawn[node]),  # type: ignore[misc]
            lambda node, peer, drawn=drawn: Ideal(pair_of(drawn, node, peer)),  # type: ignore[misc]
        )
        total = leaf(sum(shown[node] for node in survivors) % RING)
        assert number_in(masks.masked(total, list(terms))) == sum(values[n] for n in survivors) % RING


def test_masked_bytes_tell_a_classifier_nothing() -> None:
    sites = Sites(NODES)
    labels = np.random.default_rng(2).integers(2, size=3000)
    board = {KEYS: sites.answer(KEYS, NODES, {})}
    board[SHARES] = sites.answer(SHARES, NODES, board)
    ctx = sites.ctx("a", board, NODES, "11" * 32, 0)
    for guard, words in ((fixed(), 4), (fixed(bits=64, limit=10.0), 1), (fixed(bits=32, limit=10.0), 1)):
        plain, _ = guard.encode(Update(values={"x": labels * 5.0 + 1}, weight=1.0), None, ctx)
        masked, _ = sites.masks["a"].encode(plain, sites.states["a"], ctx)
        rows = [
            leaf.words.T.copy().view(np.uint8) for leaf in (plain.values["x"], masked.values[SUM].leaves["x"])
        ]
        assert rows[0].shape[1] in (words * 8, 4)
        scores = [accuracy(each, labels) for each in rows]
        assert scores[0] > 0.99
        assert 0.43 < scores[1] < 0.57  # five standard deviations about a half


def accuracy(rows: np.ndarray, labels: np.ndarray) -> float:
    forest = RandomForestClassifier(30, random_state=0).fit(rows[:1000], labels[:1000])
    return float(forest.score(rows[1000:], labels[1000:]))


def test_nothing_random_but_secrets_of_the_operating_system() -> None:
    banned = {"random", "secrets", "uuid", "numpy.random", "os"}
    for path in (Path(talkoot.__file__).parent / "guards" / "mask").glob("*.py"):
        for found in ast.walk(ast.parse(path.read_text())):
            if isinstance(found, ast.Import):
                assert not banned & {alias.name for alias in found.names}, path
            if isinstance(found, ast.ImportFrom):
                assert found.module not in banned, path
            if isinstance(found, ast.Attribute):
                assert found.attr not in ("rng", "default_rng", "urandom", "token_bytes"), path
                assert not (found.attr == "random" and ast.unparse(found.value) in ("np", "numpy")), path


def test_secrets_differ_between_rounds_and_nodes_of_the_same_seed() -> None:
    keys = [Sites(NODES).answer(KEYS, NODES, {}) for _ in range(2)]
    public = [
        values[name].tobytes() for each in keys for values in each.values() for name in ("mask", "seal")
    ]
    assert len(set(public)) == len(public)


def test_without_the_library_the_error_names_the_install(monkeypatch: pytest.MonkeyPatch) -> None:
    crypto._module.cache_clear()
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.x25519", None)
    with pytest.raises(
        PlanError, match=r"needs the package cryptography .*pip install 'talkoot\[federation\]'"
    ):
        crypto.agreement_key(bytes(32))
    crypto._module.cache_clear()


def test_what_a_site_stores_between_phases_is_plain_data_without_its_signing_key() -> None:
    sites = Sites(NODES)
    board = sites.before()
    sites.send(NODES, board)
    types = by_name((RoundState, PublicKeys))
    encoder = Encoder(types=types)
    data = encoder.encode(sites.states["a"])
    identity = sites.masks["a"].identity
    assert identity is not None
    assert identity.key not in msgspec.msgpack.encode(data)
    sites.states["a"] = Decoder(encoder.buffers, types=types).decode(
        msgspec.msgpack.decode(msgspec.msgpack.encode(data))
    )
    assert sites.answer(SURVIVORS, "a", board)["a"].keys() == {"survivors", "signature"}


def test_x25519_of_rfc_7748() -> None:
    alice, bob = map(
        bytes.fromhex,
        (
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        ),
    )
    public = crypto.agreement_key(bob)
    assert public.hex() == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    assert crypto.agreed(alice, public).hex() == shared
    with pytest.raises(ValueError):  # noqa: PT011
        crypto.agreed(alice, bytes(32))


def test_ed25519_of_rfc_8032() -> None:
    private = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = crypto.signing_key(private)
    assert public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    signature = crypto.sign(private, b"")
    assert signature.hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
        "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert crypto.is_signed(public, signature, b"")
    assert not crypto.is_signed(public, signature, b"x")
    assert not crypto.is_signed(b"", signature, b"")


def test_hkdf_of_rfc_5869() -> None:
    key = crypto.derived(b"\x0b" * 22, salt=bytes(range(13)), info=bytes(range(0xF0, 0xFA)), length=42)
    assert key.hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )


def test_aes_256_in_counter_mode_of_sp_800_38a() -> None:
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    stream = crypto.Stream(key, bytes(range(0xF0, 0x100)))
    plain = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
    words = np.empty((2, 2), np.uint64)
    for row in words:
        stream.fill(row)
    pad = words.tobytes()
    cipher = bytes(a ^ b for a, b in zip(plain, pad, strict=True))
    assert cipher.hex() == "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"


def test_aes_256_gcm_of_the_specification() -> None:
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
    plain = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    header = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    sealed = crypto.seal(key, bytes.fromhex("cafebabefacedbaddecaf888"), plain, header)
    assert sealed[12:].hex() == (
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"
    )
    assert crypto.opened(key, sealed, header) == plain
    assert crypto.opened(key, sealed, header + b"x") is None
    assert crypto.opened(key, b"short", header) is None


def test_shamir_by_hand() -> None:
    secret = (5).to_bytes(32, "big")  # on the line 5 + 3x
    shares = shamir.split(secret, (1, 2, 7), 2, lambda size: (3).to_bytes(size, "big"))
    assert {place: int.from_bytes(share, "big") for place, share in shares.items()} == {1: 8, 2: 11, 7: 26}
    assert shamir.weights((1, 2)) == {1: 2, 2: shamir.PRIME - 1}
    assert shamir.secret_of({1: shares[1], 2: shares[2]}) == secret
    assert shamir.secret_of({1: shares[1], 2: shares[7]}) != secret


def test_fewer_shares_than_the_threshold_fit_any_secret() -> None:
    shares = shamir.split(b"\xff" * 32, range(1, 6), 3, Ctx().secret)
    for one, two, three in combinations(range(1, 6), 3):
        assert shamir.secret_of({place: shares[place] for place in (one, two, three)}) == b"\xff" * 32
    for wanted in (0, 12345):  # some third share gives it
        weight = shamir.weights((1, 2, 3))
        known = sum(weight[place] * int.from_bytes(shares[place], "big") for place in (1, 2))
        third = (wanted - known) * pow(weight[3], -1, shamir.PRIME) % shamir.PRIME
        found = shamir.secret_of({1: shares[1], 2: shares[2], 3: third.to_bytes(66, "big")})
        assert found == wanted.to_bytes(32, "big")


@pytest.mark.parametrize("size", [3, 50, 51, 100, 300])
def test_neighbours_are_mutual_and_as_many_as_planned(size: int) -> None:
    names = tuple(f"node{i}" for i in range(size))
    one = graph.Graph(names, b"seed")
    for name in names:
        around = one.neighbours(name)
        assert len(set(around)) == len(around) == graph.degree(size)
        assert name not in around
        assert all(name in one.neighbours(other) for other in around[:3])
    if size > 90:
        assert graph.Graph(names, b"other").neighbours(names[0]) != one.neighbours(names[0])


def test_no_two_sets_of_nodes_can_both_agree() -> None:
    for nodes, cheats in product(range(3, 60), range(20)):
        assert 2 * graph.threshold(nodes, cheats) > nodes + cheats

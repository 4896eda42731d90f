"""What a node does in each phase of the secure sum: functions of its state and of what is on the board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np

from talkoot.core.context import Ctx, addressed
from talkoot.core.update import Update
from talkoot.guards.mask import checks, crypto, masks, shamir
from talkoot.guards.mask.graph import Graph, quota, threshold
from talkoot.guards.mask.identity import Identity
from talkoot.guards.mask.leaf import Masked
from talkoot.guards.mask.messages import (
    SHARES,
    SURVIVORS,
    PublicKeys,
    commitment_of,
    graph_seed,
    header_of,
    keys_of,
    post,
    read,
    sealed_for,
    view_of,
)

SUM = "mask.sum"  # the name of the one leaf
_SHARES = 2 * shamir.SIZE  # bytes that one node seals for another: a share of each of its secrets


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RoundState:
    """What a node must remember of a round under way; nothing of it is needed after.

    Args:
        round: its index.
        about: the digest of the question that its keys are signed for.
        header: see `header_of`.
        cohort: the nodes that the round was announced to.
        own: an identity made for this round, where the node brings none.
        mask, seal, seed: its secrets.
        keys: of all nodes, as they were shown to it.
        sealing: the key with which it and each neighbour seal for each other.
        shares: by the node whose secrets they are of.
        seen: who sent shares.
        survivors: whose sum it has agreed to read.
    """

    round: int
    about: str
    header: bytes
    cohort: tuple[str, ...]
    own: Identity | None
    mask: bytes = field(repr=False)
    seal: bytes = field(repr=False)
    seed: bytes = field(repr=False)
    keys: Mapping[str, PublicKeys] = field(default_factory=dict)
    sealing: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    shares: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    seen: tuple[str, ...] = ()
    survivors: tuple[str, ...] = ()

    @property
    def graph(self) -> Graph:
        """Who shares masks with whom."""
        return Graph(tuple(sorted(self.keys)), graph_seed(self.keys))

    def place(self, node: str) -> int:
        """Where a node's shares lie on the polynomials."""
        return self.cohort.index(node) + 1


def announce(identity: Identity | None, ctx: Ctx) -> tuple[Update, RoundState]:
    """Phase "keys": fresh keys, signed for this round, its cohort and its question."""
    checks.require_three(ctx.cohort)
    me = identity or Identity(key=ctx.secret())
    header = header_of(ctx, me.run)
    state = RoundState(
        round=ctx.round,
        about=ctx.about,
        header=header,
        cohort=ctx.cohort,
        own=me if identity is None else None,
        mask=ctx.secret(),
        seal=ctx.secret(),
        seed=ctx.secret(),
    )
    keys = PublicKeys(
        mask=crypto.agreement_key(state.mask),
        seal=crypto.agreement_key(state.seal),
        commitment=commitment_of(header, ctx.node, state.seed),
        signer=crypto.signing_key(me.key),
        signature=b"",
    )
    keys = replace(keys, signature=crypto.sign(me.key, keys.signed(header, ctx.node)))
    state = replace(state, keys={ctx.node: keys})
    names = ("mask", "seal", "commitment", "signer", "signature")
    return Update(values=post(header=header, **{name: getattr(keys, name) for name in names})), state


def share(me: Identity, state: RoundState, ctx: Ctx, cheats: int) -> tuple[Update, RoundState]:
    """Phase "shares": shares of the node's two secrets, sealed for each neighbour."""
    checks.require_once("shares", done=bool(state.shares))
    keys = keys_of(ctx)
    checks.require_known(keys, state.cohort)
    checks.require_keys(keys, threshold(len(state.cohort), cheats))
    for node, theirs in keys.items():
        message = theirs.signed(state.header, node)
        valid = crypto.is_signed(me.signer(node, theirs.signer), theirs.signature, message)
        checks.require_signed(node, valid=valid)
        checks.require_usable(node, valid=all(map(crypto.is_usable, (theirs.mask, theirs.seal))))
    checks.require_own(state.keys[ctx.node], keys.get(ctx.node))
    checks.require_distinct([key for theirs in keys.values() for key in (theirs.mask, theirs.seal)])
    state = replace(state, keys=keys)
    graph = state.graph
    needed = quota(graph, state.cohort, cheats)
    places = {node: state.place(node) for node in graph.group(ctx.node)}
    seeds, masks_ = (
        shamir.split(secret, places.values(), needed, ctx.secret) for secret in (state.seed, state.mask)
    )
    both = {node: seeds[place] + masks_[place] for node, place in places.items()}
    sealing = {node: _sealing_key(state, node) for node in both if node != ctx.node}
    state = replace(state, sealing=sealing, shares={ctx.node: both[ctx.node]})
    sealed = {addressed(node, "share"): _sealed(state, ctx, node, both[node]) for node in sealing}
    return Update(values={"sent": np.ones(1), **post(**sealed)}), state


def _sealed(state: RoundState, ctx: Ctx, node: str, plain: bytes) -> bytes:
    return crypto.seal(
        state.sealing[node], ctx.secret(crypto.NONCE), plain, sealed_for(state.header, ctx.node, node)
    )


def _sealing_key(state: RoundState, other: str) -> bytes:
    secret = crypto.agreed(state.seal, state.keys[other].seal)
    return crypto.derived(secret, salt=state.header, info=b"seal")


def hide(update: Update, state: RoundState, ctx: Ctx, cheats: int) -> tuple[Update, RoundState]:
    """While the node works: its update plus masks, once what others sealed for it can be opened."""
    checks.require_once("update", done=bool(state.seen))
    checks.require_question(state.about, ctx.about)
    checks.require_sums(update)
    posted = ctx.posted(SHARES)
    seen = tuple(sorted(posted))
    checks.require_known(seen, state.keys)
    checks.require_senders(seen, threshold(len(state.cohort), cheats))
    graph = state.graph
    peers = [node for node in graph.neighbours(ctx.node) if node in seen]
    checks.require_senders([*peers, ctx.node], quota(graph, state.cohort, cheats))
    shares = {**state.shares, **{node: _opened(state, ctx.node, node, posted[node]) for node in peers}}
    terms = masks.node_terms(
        ctx.node,
        peers,
        {name: at for at, name in enumerate(state.cohort)},
        own=lambda node: own_stream(state.header, node, state.seed),
        pair=lambda node, peer: pair_stream(ctx.about, state.header, state.mask, state.keys[peer].mask),
    )
    hidden = Masked(masks.masked(update.values, terms))
    return Update(values={SUM: hidden}), replace(state, shares=shares, seen=seen)


def _opened(state: RoundState, node: str, sender: str, values: Mapping[str, Any]) -> bytes:
    sealed = read(values, "share", crypto.NONCE + _SHARES + crypto.TAG, sender)
    header = sealed_for(state.header, sender, node)
    return checks.require_opened(sender, crypto.opened(state.sealing[sender], sealed, header), _SHARES)


def own_stream(header: bytes, node: str, seed: bytes) -> crypto.Stream:
    """The stream of a node's own mask."""
    return crypto.Stream(crypto.derived(seed, salt=header, info=b"own " + node.encode()))


def pair_stream(about: str, header: bytes, private: bytes, public: bytes) -> crypto.Stream:
    """The stream of a pair of nodes, which is another one if they were given different questions."""
    secret = crypto.agreed(private, public)
    return crypto.Stream(crypto.derived(secret, salt=bytes.fromhex(about), info=header + b"pair"))


def agree(me: Identity, state: RoundState, ctx: Ctx, cheats: int) -> tuple[Update, RoundState]:
    """Phase "survivors": a signature on whose sum is to be read."""
    survivors = tuple(sorted(ctx.cohort))
    checks.require_seen(survivors, state.seen)
    checks.require_survivors(survivors, threshold(len(state.cohort), cheats))
    checks.require_one_set(me.released, state.header.hex(), survivors)
    signature = crypto.sign(me.key, view_of(state.header, state.keys, state.seen, survivors))
    places = np.array([state.cohort.index(node) for node in survivors])
    state = replace(state, survivors=survivors)
    return Update(values={"survivors": places, **post(signature=signature)}), state


def release(me: Identity, state: RoundState, ctx: Ctx, cheats: int) -> Update:
    """Phase "unmask": shares of the survivors' own seeds, and of the mask keys of those who were lost."""
    view = view_of(state.header, state.keys, state.seen, state.survivors)
    checks.require_signatures(_signers(me, state, ctx, view), threshold(len(state.cohort), cheats))
    lost = tuple(node for node in state.seen if node not in state.survivors)
    checks.require_same_release(me.released, state.about, state.survivors)
    values = dict[str, bytes]()
    for node in (*state.survivors, *lost):
        if node in state.shares:
            kind = masks.released(node, state.survivors)
            half = state.shares[node][: shamir.SIZE] if kind == "seed" else state.shares[node][shamir.SIZE :]
            values[f"{kind}:{state.place(node)}"] = half
    return Update(values=post(**values))


def _signers(me: Identity, state: RoundState, ctx: Ctx, view: bytes) -> list[str]:
    """The nodes that signed what this node has seen."""
    signatures = {node: values.get("signature") for node, values in ctx.posted(SURVIVORS).items()}
    return [
        node
        for node, signature in signatures.items()
        if node in state.keys
        and isinstance(signature, np.ndarray)
        and crypto.is_signed(me.signer(node, state.keys[node].signer), signature.tobytes(), view)
    ]

"""What whoever adds the updates does: secrets from shares, and the sum without masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError, QuorumError
from talkoot.guards.mask import crypto, masks, shamir
from talkoot.guards.mask.graph import Graph, quota, threshold
from talkoot.guards.mask.leaf import Masked
from talkoot.guards.mask.messages import (
    SHARES,
    SURVIVORS,
    UNMASK,
    PublicKeys,
    commitment_of,
    graph_seed,
    header_in,
    keys_of,
    most_common,
)
from talkoot.guards.mask.node import own_stream, pair_stream
from talkoot.guards.ring import Ring

_CURE = "Hold the round again when more nodes are there."


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Reading:
    """The board of a round, read once.

    Args:
        ctx: of the server functions.
        least: how many nodes must help.
        header: see `header_of`.
        keys: of the nodes that posted them.
        graph: who shares masks with whom.
        needed: how many shares give a secret.
        survivors: whose updates are in the sum.
        lost: who shared secrets, and sent no update.
    """

    ctx: Ctx
    least: int
    header: bytes
    keys: Mapping[str, PublicKeys]
    graph: Graph
    needed: int
    survivors: frozenset[str]
    lost: frozenset[str]

    @classmethod
    def of(cls, ctx: Ctx, cheats: int) -> Reading:
        """What the board says."""
        keys = keys_of(ctx)
        graph = Graph(tuple(sorted(keys)), graph_seed(keys))
        survivors = _agreed_on(ctx)
        return cls(
            ctx=ctx,
            least=threshold(len(ctx.cohort), cheats),
            header=header_in(ctx),
            keys=keys,
            graph=graph,
            needed=quota(graph, ctx.cohort, cheats),
            survivors=survivors,
            lost=frozenset(ctx.posted(SHARES)) - survivors,
        )

    @property
    def order(self) -> dict[str, int]:
        """The nodes of the cohort, numbered."""
        return {node: at for at, node in enumerate(self.ctx.cohort)}

    def shares(self) -> dict[str, dict[int, bytes]]:
        """For each survivor and each lost node the shares of its secret, by place."""
        posted, order = self.ctx.posted(UNMASK), self.order
        found = dict[str, dict[int, bytes]]()
        for node in sorted(self.survivors | self.lost):
            name = f"{masks.released(node, self.survivors)}:{order[node] + 1}"
            arrays = {holder: posted.get(holder, {}).get(name) for holder in self.graph.group(node)}
            found[node] = {
                order[holder] + 1: array.tobytes()
                for holder, array in arrays.items()
                if isinstance(array, np.ndarray) and array.nbytes == shamir.SIZE
            }
        return found

    def obstacle(self) -> QuorumError | None:
        """Why the masks cannot be taken away."""
        step, nodes, answered = f"round {self.ctx.round}", len(self.ctx.cohort), len(self.ctx.posted(UNMASK))
        if answered < self.least:
            cause = f"{answered} of {nodes} nodes helped to take the masks away, and {self.least} must"
            return QuorumError(cause, step=step, cure=_CURE)
        for node, shares in self.shares().items():
            if len(shares) < self.needed:
                cause = f"{len(shares)} shares of node {node!r} arrived, and {self.needed} must"
                return QuorumError(cause, step=step, cure=_CURE)
        return None

    def secrets(self) -> dict[str, bytes]:
        """The seed of each survivor and the mask key of each lost node.

        Raises:
            DataError: shares do not fit what the node posted before.
        """
        known = dict[tuple[int, ...], dict[int, int]]()
        found = {}
        for node, all_shares in self.shares().items():
            shares = dict(islice(sorted(all_shares.items()), self.needed))
            places = tuple(shares)
            if places not in known:
                known[places] = shamir.weights(places)
            secret = shamir.secret_of(shares, known[places])
            if secret is None or not self._fits(node, secret):
                senders = ", ".join(repr(self.ctx.cohort[place - 1]) for place in places)
                raise DataError(
                    f"the shares of node {node!r} do not give the secret that it announced, so one of "
                    f"{senders} or the node itself sent a wrong one",
                    step=f"round {self.ctx.round}",
                    cure="Find out which of them does not keep to the protocol.",
                )
            found[node] = secret
        return found

    def _fits(self, node: str, secret: bytes) -> bool:
        if node in self.survivors:
            return commitment_of(self.header, node, secret) == self.keys[node].commitment
        return crypto.agreement_key(secret) == self.keys[node].mask

    def unmasked(self, total: Masked) -> dict[str, Ring]:
        """The sum of the survivors' updates."""
        secrets = self.secrets()
        terms = masks.left_terms(
            self.survivors,
            self.lost,
            self.graph.neighbours,
            self.order,
            own=lambda node: own_stream(self.header, node, secrets[node]),
            pair=lambda node, peer: pair_stream(
                self.ctx.about, self.header, secrets[node], self.keys[peer].mask
            ),
        )
        return masks.masked(total.leaves, list(terms))


def _agreed_on(ctx: Ctx) -> frozenset[str]:
    """The survivors that most nodes name."""
    posted = [values.get("survivors") for values in ctx.posted(SURVIVORS).values()]
    named = [tuple(places.ravel().tolist()) for places in posted if isinstance(places, np.ndarray)]
    return frozenset(ctx.cohort[int(place)] for place in most_common(named, ()))

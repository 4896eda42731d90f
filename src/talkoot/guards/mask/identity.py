"""Who a node is to the others of a secure sum: its signing key, their public keys, what it released."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from talkoot.guards.mask import checks


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Identity:
    """What a site brings to a secure sum; a `Mask` without one makes one for each round, without a roster.

    Without a roster nodes believe the public keys that are on the board. That protects against whoever
    sees updates on the wire or in memory, and against a coordinator that keeps to the protocol; it is enough
    where all nodes belong to one owner. With a roster, a coordinator that cheats, together with fewer nodes
    than the plan tolerates, learns nothing but sums of at least three nodes.

    Args:
        key: the site's private Ed25519 key, 32 bytes; certified by the request that made its TLS certificate.
        roster: for each node that may take part, the public key in its approved certificate; None to believe
            what nodes post.
        run: names the run and its approved plan, such as the digest of a proposal.
        released: for which survivors secrets were released, by question and by attempt. It must outlive the
            process: `setdefault` writes before it returns.
    """

    key: bytes = field(repr=False)
    roster: Mapping[str, bytes] | None = None
    run: str = ""
    released: checks.Released = field(default_factory=dict)

    def signer(self, node: str, posted: bytes) -> bytes:
        """The public key that a node's signatures must be of."""
        return posted if self.roster is None else checks.require_listed(node, self.roster)

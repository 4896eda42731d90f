"""Who a node is to the others of a secure sum: its signing key, their public keys, what it released."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import final

Released = MutableMapping[str, tuple[str, ...]]  # what was decided -> for which nodes


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Identity:
    """What a site brings to a secure sum; a `Mask` without one makes a signing key for each round.

    Without an identity nodes believe the public keys that are on the board. That protects against whoever
    sees updates on the wire or in memory, and against a coordinator that keeps to the protocol; it is enough
    where all nodes belong to one owner. With identities, a coordinator that cheats, together with fewer nodes
    than the plan tolerates, learns nothing but sums of at least three nodes, as the roster says whom to
    believe.

    Args:
        key: the site's private Ed25519 key, 32 bytes; certified by the request that made its TLS certificate.
        roster: for each node that may take part, the public key in its approved certificate.
        run: names the run and its approved plan, such as the digest of a proposal.
        released: for which survivors secrets were released, by question and by attempt. It must outlive the
            process: `setdefault` writes before it returns.
    """

    key: bytes = field(repr=False)
    roster: Mapping[str, bytes]
    run: str = ""
    released: Released = field(default_factory=dict)

"""What a researcher proposes: on which data set, what, why, and with whom. Its digest names the run."""

from __future__ import annotations

import hashlib
from typing import final

import msgspec

from talkoot.core.errors import DataError


@final
class Proposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A proposal, as sites decide on it.

    Args:
        dataset: the name under which sites have registered their rows.
        target: the target's column.
        plan: the plan as a frame, without the schema that the nodes will agree on.
        kind: what is done with it, such as "fit" or "check".
        purpose: why.
        permit: who has permitted it, such as the number of an ethics vote.
        roster: the sites, with the fingerprints of their certificates.
        researcher: whose certificate signs it.
    """

    dataset: str
    target: str | None
    plan: bytes
    kind: str
    purpose: str
    permit: str
    roster: dict[str, str]
    researcher: str

    def to_bytes(self) -> bytes:
        """As bytes; equal proposals are equal bytes."""
        return msgspec.msgpack.encode(self)


def from_bytes(data: bytes) -> Proposal:
    """The proposal of these bytes.

    Raises:
        DataError: they are none.
    """
    try:
        return msgspec.msgpack.decode(data, type=Proposal)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"this is no proposal: {error}") from None


def run_of(data: bytes) -> str:
    """The name of the run that a proposal, as bytes, is about."""
    return hashlib.sha256(data).hexdigest()

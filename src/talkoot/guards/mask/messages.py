"""What nodes post in the phases, as arrays of bytes by name, and what signatures and keys are bound to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.digest import digest
from talkoot.core.errors import MaskRefused
from talkoot.guards.mask import crypto

T = TypeVar("T")
KEYS, SHARES, SURVIVORS, UNMASK = "keys", "shares", "survivors", "unmask"


@final
@dataclass(frozen=True, slots=True)
class PublicKeys:
    """What a node posts first.

    Args:
        mask: X25519, for the streams that it shares with others.
        seal: X25519, for what is sealed for it.
        commitment: a hash of the seed of its own mask.
        signer: Ed25519, of its signature.
        signature: over the header, the node's name and all of the above but the signer.
    """

    mask: bytes
    seal: bytes
    commitment: bytes
    signer: bytes
    signature: bytes

    def signed(self, header: bytes, node: str) -> bytes:
        """What the signature is over."""
        return b"".join((header, b"keys", self.mask, self.seal, self.commitment, node.encode()))


def header_of(ctx: Ctx, run: str) -> bytes:
    """32 bytes that name the run, the round, its cohort and what it is about."""
    return bytes.fromhex(digest(("talkoot secure sum 1", run, ctx.round, ctx.cohort, ctx.about)))


def sealed_for(header: bytes, sender: str, receiver: str) -> bytes:
    """What a sealed message is bound to."""
    return bytes.fromhex(digest((header, "share", sender, receiver)))


def view_of(
    header: bytes, keys: Mapping[str, PublicKeys], seen: Sequence[str], survivors: Sequence[str]
) -> bytes:
    """What a node signs after its update: all that it saw of the round, and whose sum may be read."""
    shown = [(node, keys[node].signed(header, node)) for node in sorted(keys)]
    return bytes.fromhex(digest((header, "survivors", shown, tuple(seen), tuple(survivors))))


def commitment_of(header: bytes, node: str, seed: bytes) -> bytes:
    """A hash that shows later whether a seed is the one that a node meant."""
    return bytes.fromhex(digest((header, "seed", node, seed)))


def post(**values: bytes) -> dict[str, np.ndarray]:
    """Bytes as arrays by name."""
    return {name: np.frombuffer(value, np.uint8) for name, value in values.items()}


def read(values: Mapping[str, Any], name: str, size: int, sender: str) -> bytes:
    """Bytes that a node posted.

    Raises:
        MaskRefused: there are none, or of another size.
    """
    value = values.get(name)
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8 or value.shape != (size,):
        raise MaskRefused(f"{sender!r} posted no {name} of {size} bytes")
    return value.tobytes()


def keys_of(ctx: Ctx) -> dict[str, PublicKeys]:
    """The keys on the board."""
    return {
        node: PublicKeys(
            mask=read(values, "mask", crypto.KEY, node),
            seal=read(values, "seal", crypto.KEY, node),
            commitment=read(values, "commitment", crypto.KEY, node),
            signer=read(values, "signer", crypto.KEY, node),
            signature=read(values, "signature", crypto.SIGNATURE, node),
        )
        for node, values in ctx.posted(KEYS).items()
    }


def header_in(ctx: Ctx) -> bytes:
    """The header that most nodes posted; they only go on where it is one."""
    return most_common([read(values, "header", 32, node) for node, values in ctx.posted(KEYS).items()], b"")


def most_common(found: Sequence[T], default: T) -> T:
    """What most say, so that no single node decides."""
    return Counter(found).most_common(1)[0][0] if found else default


def graph_seed(keys: Mapping[str, PublicKeys]) -> bytes:
    """Bytes that follow from the keys of all."""
    return bytes.fromhex(digest([(node, keys[node].mask, keys[node].seal) for node in sorted(keys)]))

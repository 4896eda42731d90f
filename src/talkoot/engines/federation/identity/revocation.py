"""The list of certificates that count no more: numbered and signed by the authority."""

from __future__ import annotations

from datetime import datetime
from typing import final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from talkoot.core.errors import DataError, Refused
from talkoot.engines.federation.identity.keys import framed
from talkoot.engines.federation.identity.peer import Peer

ABOUT = "revoked certificates"


@final
class Revoked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One certificate that counts no more."""

    name: str
    fingerprint: str
    since: datetime
    reason: str


@final
class Revocations(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of them. A list with a larger number replaces one with a smaller."""

    number: int = 0
    certificates: tuple[Revoked, ...] = ()

    def with_one(self, one: Revoked) -> Revocations:
        """The next list."""
        return Revocations(self.number + 1, (*self.certificates, one))

    def require_valid(self, peer: Peer) -> None:
        """Refuse a party whose certificate is on the list.

        Raises:
            Refused: it is, since when and why.
        """
        for one in self.certificates:
            if one.fingerprint == peer.fingerprint:
                raise Refused(
                    f"the certificate of {peer.name} was revoked on {one.since:%Y-%m-%d}: {one.reason}",
                    cure="Make a new request, and have the operator approve it.",
                )


@final
class _Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str
    signature: str


def to_bytes(revocations: Revocations, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The list as a file, signed by the authority's key."""
    text = msgspec.json.encode(revocations)
    signature = key.sign(framed(text, ABOUT), ec.ECDSA(hashes.SHA256()))
    return msgspec.json.format(msgspec.json.encode(_Signed(text.decode(), signature.hex())))


def from_bytes(data: bytes, authority: x509.Certificate) -> Revocations:
    """The list of a file.

    Raises:
        DataError: it is no list.
        Refused: the authority did not sign it.
    """
    try:
        signed = msgspec.json.decode(data, type=_Signed)
        signature = bytes.fromhex(signed.signature)
    except ValueError as error:  # msgspec's errors are ValueErrors too
        raise _damaged(error) from None
    public = authority.public_key()
    try:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(signature, framed(signed.text.encode(), ABOUT), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Refused("the list of revoked certificates is not signed by the authority") from None
    try:
        return msgspec.json.decode(signed.text, type=Revocations)
    except ValueError as error:
        raise _damaged(error) from None


def _damaged(error: Exception) -> DataError:
    return DataError(
        f"the list of revoked certificates is damaged: {error}", cure="Take a copy from the operator."
    )

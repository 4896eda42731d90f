"""A certificate as a party of the federation: its name and role, once it is checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from talkoot.core.errors import Refused
from talkoot.engines.federation.identity.names import Role, from_uris


@final
@dataclass(frozen=True, slots=True)
class Peer:
    """A party of the federation, as its certificate says.

    Args:
        name: unique in the federation.
        role: what it may do.
        fingerprint: SHA-256 of the certificate, in hexadecimal.
        signing_key: checks its signatures, 32 bytes.
        expires: from when on the certificate counts no more.
        certificate: PEM.
    """

    name: str
    role: Role
    fingerprint: str
    signing_key: bytes
    expires: datetime
    certificate: bytes = field(repr=False)


def to_certificate(pem: bytes) -> x509.Certificate:
    """The certificate of a PEM text.

    Raises:
        Refused: it is none.
    """
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise Refused("this is no certificate", cure="Take what talkoot provision approve wrote.") from None


def check(certificate: x509.Certificate, authority: x509.Certificate, now: datetime | None = None) -> Peer:
    """The party of a certificate that this authority has made and that has not expired.

    Raises:
        Refused: another authority made it, it is not valid yet or no more, or it names nobody.
    """
    peer = read(certificate)
    now = now or datetime.now(UTC)
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        raise Refused(
            f"the certificate of {peer.name} was made by another authority",
            cure="Have this federation's operator approve a request.",
        ) from None
    if now >= certificate.not_valid_after_utc:
        raise Refused(
            f"the certificate of {peer.name} expired on {certificate.not_valid_after_utc:%Y-%m-%d}",
            cure="It is too late to renew it. Move its .approved file away, make a new request (talkoot site "
            "request, talkoot provision request), and have the operator approve that.",
        )
    if now < certificate.not_valid_before_utc:
        raise Refused(
            f"the certificate of {peer.name} is not valid before {certificate.not_valid_before_utc:%c} UTC",
            cure="Set this machine's clock.",
        )
    return peer


def read(certificate: x509.Certificate) -> Peer:
    """What a certificate says, unchecked.

    Raises:
        Refused: it names nobody.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        uris: list[str] = []
    else:
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    name, role, key = from_uris(uris)
    return Peer(
        name=name,
        role=role,
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        signing_key=key,
        expires=certificate.not_valid_after_utc,
        certificate=certificate.public_bytes(Encoding.PEM),
    )

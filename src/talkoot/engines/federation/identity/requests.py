"""A request for a certificate: public keys and a name, signed by both keys; a renewal by the old one too."""

from __future__ import annotations

from pathlib import Path
from typing import final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from talkoot.core.errors import DataError, Refused
from talkoot.engines.federation.identity.files import read
from talkoot.engines.federation.identity.keys import Keys, is_signed
from talkoot.engines.federation.identity.names import Role, from_uris, to_uris

REQUEST, RENEWAL = "certificate request", "certificate renewal"


@final
class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What travels to the operator; no secret is in it.

    Args:
        csr: the certificate signing request, PEM.
        signature: of the new signing key over it, in hexadecimal.
        renews: the certificate that is to be replaced, PEM; empty for a new party.
        renewal: the signature of that certificate's signing key, in hexadecimal.
    """

    csr: str
    signature: str
    renews: str = ""
    renewal: str = ""

    @property
    def signed(self) -> x509.CertificateSigningRequest:
        """The certificate signing request."""
        return x509.load_pem_x509_csr(self.csr.encode())

    @property
    def subject(self) -> tuple[str, Role, bytes]:
        """Name, role and signing key."""
        names = self.signed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return from_uris(names.get_values_for_type(x509.UniformResourceIdentifier))

    @property
    def fingerprint(self) -> str:
        """What both ends read to each other before the operator approves: 80 bits in five groups."""
        return fingerprint_of(self.signed.public_bytes(Encoding.DER))

    def to_bytes(self) -> bytes:
        """As a file."""
        return msgspec.json.format(msgspec.json.encode(self))


def make(keys: Keys, name: str, role: Role, old: tuple[Keys, bytes] | None = None) -> Request:
    """A request for new keys.

    Args:
        keys: the new keys.
        name: of the party.
        role: of the party.
        old: the keys and the certificate (PEM) that they replace.
    """
    uris = [x509.UniformResourceIdentifier(uri) for uri in to_uris(name, role, keys.public)]
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .add_extension(x509.SubjectAlternativeName(uris), critical=False)
        .sign(keys.tls, hashes.SHA256())
    )
    plain = csr.public_bytes(Encoding.DER)
    return Request(
        csr=csr.public_bytes(Encoding.PEM).decode(),
        signature=keys.sign(plain, REQUEST).hex(),
        renews=old[1].decode() if old else "",
        renewal=old[0].sign(plain, RENEWAL).hex() if old else "",
    )


def load(path: Path) -> Request:
    """The request in a file, once its own signatures are checked.

    Raises:
        DataError: it is no request, or is damaged.
        Refused: a signature is wrong.
    """
    data = read(path)
    try:
        request = msgspec.json.decode(data, type=Request)
        csr, (name, _, key) = request.signed, request.subject
        signature = bytes.fromhex(request.signature)
        known = [str(each.value) for each in csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        public = csr.public_key()
    except Refused:
        raise
    except (ValueError, msgspec.DecodeError, x509.ExtensionNotFound) as error:
        raise DataError(f"{path} is no certificate request: {error}", cure="Have it made again.") from None
    if known != [name]:
        raise Refused(f"{path} says {', '.join(known)} in one place and {name} in another")
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise Refused(f"{path}: the key of TLS is not on the curve P-256")
    plain = csr.public_bytes(Encoding.DER)
    if not csr.is_signature_valid or not is_signed(plain, REQUEST, signature, key):
        raise Refused(
            f"{path} is not signed by the keys that it is about",
            cure="It was changed on its way; send it again.",
        )
    return request


def is_renewal_signed(request: Request, old_key: bytes) -> bool:
    """Whether the signing key of the old certificate signed the request."""
    try:
        signature = bytes.fromhex(request.renewal)
    except ValueError:
        return False
    return is_signed(request.signed.public_bytes(Encoding.DER), RENEWAL, signature, old_key)


def fingerprint_of(data: bytes) -> str:
    """Twenty hexadecimal digits in groups of four, to be read aloud."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    text = digest.finalize().hex()[:20]
    return "-".join(text[at : at + 4] for at in range(0, 20, 4))

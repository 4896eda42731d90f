"""The two private keys of an identity: P-256 for TLS, Ed25519 for signatures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from talkoot.core.errors import DataError
from talkoot.engines.federation.identity.files import read_private, write_private

FOLDER = "keys"
_MARK = b"-----BEGIN"


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Keys:
    """A pair of private keys, which live in one file."""

    tls: ec.EllipticCurvePrivateKey
    signing: Ed25519PrivateKey

    @classmethod
    def make(cls, folder: Path) -> Keys:
        """New keys in a file of their own below `folder`."""
        keys = cls(ec.generate_private_key(ec.SECP256R1()), Ed25519PrivateKey.generate())
        write_private(_path(folder, keys.public), _to_pem(keys.tls) + _to_pem(keys.signing))
        return keys

    @classmethod
    def load(cls, folder: Path, public: bytes) -> Keys:
        """The keys below `folder` whose public signing key is `public`.

        Raises:
            DataError: they are not there, or are damaged.
            Refused: others can read them.
        """
        path = _path(folder, public)
        if not path.exists():
            raise DataError(
                f"the keys of this certificate are not in {path.parent}",
                cure="A certificate works only where its request was made.",
            )
        pieces = [_MARK + piece for piece in read_private(path).split(_MARK)[1:]]
        try:
            tls, signing = (serialization.load_pem_private_key(piece, None) for piece in pieces)
        except ValueError as error:
            raise DataError(f"{path} is damaged: {error}", cure="Make a new request.") from None
        if not isinstance(tls, ec.EllipticCurvePrivateKey) or not isinstance(signing, Ed25519PrivateKey):
            raise DataError(f"{path} does not hold the two keys of an identity", cure="Make a new request.")
        return cls(tls, signing)

    @property
    def public(self) -> bytes:
        """The public key that checks signatures, 32 bytes."""
        return self.signing.public_key().public_bytes_raw()

    @property
    def tls_pem(self) -> bytes:
        """The private key of TLS as grpc takes it."""
        return _to_pem(self.tls)

    def sign(self, data: bytes, about: str) -> bytes:
        """A signature, which counts for nothing but what it is about."""
        return self.signing.sign(framed(data, about))


def is_signed(data: bytes, about: str, signature: bytes, public: bytes) -> bool:
    """Whether the owner of the public key signed data about this."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, framed(data, about))
    except (InvalidSignature, ValueError):
        return False
    return True


def framed(data: bytes, about: str) -> bytes:
    """What is signed: the subject before the data, so that a signature of one is none of another."""
    return f"talkoot {about}".encode() + b"\0" + data


def _to_pem(key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _path(folder: Path, public: bytes) -> Path:
    return folder / FOLDER / f"{public.hex()[:16]}.pem"

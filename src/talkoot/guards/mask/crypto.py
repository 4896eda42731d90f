"""The primitives of `cryptography` that the secure sum needs, each one function."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, final

import numpy as np

from talkoot.core.errors import PlanError

KEY = 32  # bytes of a key, private or public, and of a seed
SIGNATURE = 64
NONCE, TAG = 12, 16  # bytes that sealing adds
_ZEROS = memoryview(bytes(1 << 17))  # what a stream of that many bytes is made of


_PRIME = 2**255 - 19  # of curve25519
_SMALL_ORDER = frozenset(  # all points of order 1, 2, 4 and 8 there and on its twist, by their u (RFC 7748)
    (
        0,
        1,
        _PRIME - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    )
)
_X25519, _ED25519 = "hazmat.primitives.asymmetric.x25519", "hazmat.primitives.asymmetric.ed25519"
_AEAD, _CIPHERS = "hazmat.primitives.ciphers.aead", "hazmat.primitives.ciphers"


@cache
def _module(path: str) -> Any:
    """A module of the library.

    Raises:
        PlanError: it is not installed.
    """
    try:
        return import_module(f"cryptography.{path}")
    except ImportError as error:
        raise PlanError(
            f"a secure sum needs the package cryptography ({error})",
            cure="Install it: pip install 'talkoot[federation]'.",
        ) from None


def agreement_key(private: bytes) -> bytes:
    """The X25519 public key (RFC 7748) of a private one."""
    return bytes(
        _module(_X25519).X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    )


def agreed(private: bytes, public: bytes) -> bytes:
    """The X25519 secret that two key pairs share (RFC 7748).

    Raises:
        ValueError: the public key is one with which every secret is zero.
    """
    lib = _module(_X25519)
    key = lib.X25519PrivateKey.from_private_bytes(private)
    return bytes(key.exchange(lib.X25519PublicKey.from_public_bytes(public)))


def is_usable(public: bytes) -> bool:
    """Whether an X25519 key gives secrets; with those of small order every secret is zero."""
    return int.from_bytes(public, "little") % 2**255 % _PRIME not in _SMALL_ORDER  # RFC 7748: bit 255 is none


def signing_key(private: bytes) -> bytes:
    """The Ed25519 public key (RFC 8032) of a private one."""
    return bytes(
        _module(_ED25519).Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    )


def sign(private: bytes, message: bytes) -> bytes:
    """An Ed25519 signature (RFC 8032)."""
    return bytes(_module(_ED25519).Ed25519PrivateKey.from_private_bytes(private).sign(message))


def is_signed(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a signature is that of the key's owner."""
    try:
        _module(_ED25519).Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (_module("exceptions").InvalidSignature, ValueError):
        return False
    return True


def derived(secret: bytes, *, salt: bytes, info: bytes, length: int = KEY) -> bytes:
    """A key derived from a secret: HKDF-SHA256 (RFC 5869)."""
    sha256 = _module("hazmat.primitives.hashes").SHA256()
    hkdf = _module("hazmat.primitives.kdf.hkdf").HKDF(algorithm=sha256, length=length, salt=salt, info=info)
    return bytes(hkdf.derive(secret))


def seal(key: bytes, nonce: bytes, plain: bytes, header: bytes) -> bytes:
    """AES-256-GCM: the nonce, then what it encrypts; the header is bound to it."""
    return nonce + bytes(_module(_AEAD).AESGCM(key).encrypt(nonce, plain, header))


def opened(key: bytes, sealed: bytes, header: bytes) -> bytes | None:
    """What was sealed under this key and header; None if it was not."""
    try:
        return bytes(_module(_AEAD).AESGCM(key).decrypt(sealed[:NONCE], sealed[NONCE:], header))
    except (_module("exceptions").InvalidTag, ValueError):
        return None


@final
class Stream:
    """A stream of bytes that look random to whoever lacks the key: AES-256 in counter mode (SP 800-38A).

    Args:
        key: of this stream alone, so that the counter may start at zero.
    """

    def __init__(self, key: bytes, counter: bytes = bytes(16)) -> None:
        lib = _module(_CIPHERS)
        self._cipher = lib.Cipher(lib.algorithms.AES(key), lib.modes.CTR(counter)).encryptor()

    def fill(self, out: np.ndarray) -> None:
        """Write the next bytes into an array."""
        data = out.data.cast("B")
        for first in range(0, data.nbytes, len(_ZEROS)):
            part = data[first : first + len(_ZEROS)]
            self._cipher.update_into(_ZEROS[: part.nbytes], part)

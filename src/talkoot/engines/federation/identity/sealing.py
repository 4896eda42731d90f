"""What a site seals for another one of a run, by the keys of their certificates."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from talkoot.core.errors import Refused
from talkoot.engines.federation.identity.identity import Identity
from talkoot.engines.federation.identity.peer import Peer, to_certificate

NONCE = 12  # bytes


@final
@dataclass(frozen=True, slots=True, eq=False)
class Sealing:
    """The keys that a site shares with each other one of a run: ECDH of their P-256 keys, then HKDF-SHA256.

    Args:
        identity: the site's.
        roster: all sites of the run, by name.
        run: its name; what is sealed in one cannot be opened in another.
    """

    identity: Identity
    roster: Mapping[str, Peer]
    run: str

    @property
    def others(self) -> int:
        """How many other sites there are."""
        return len(self.roster) - 1

    @property
    def peers(self) -> tuple[str, ...]:
        """The sites behind this one in the order of their names: for these it seals."""
        return tuple(sorted(name for name in self.roster if name > self.identity.name))

    def seal(self, peer: str, plain: bytes) -> bytes:
        """Seal for a site."""
        nonce, header = os.urandom(NONCE), self._header(self.identity.name, peer)
        return nonce + self._cipher(peer, header).encrypt(nonce, plain, header)

    def opened(self, peer: str, sealed: bytes) -> bytes:
        """Open what a site has sealed for this one.

        Raises:
            Refused: the site is not of this run, or has not sealed this for it.
        """
        header = self._header(peer, self.identity.name)
        if peer not in self.roster or peer == self.identity.name:
            raise Refused(f"{peer!r:.80} is not among the sites that were approved")
        try:
            return self._cipher(peer, header).decrypt(sealed[:NONCE], sealed[NONCE:], header)
        except (InvalidTag, ValueError):
            raise Refused(
                f"what {peer} has sealed for this site cannot be opened, so it is not what it sent",
                cure="Somebody between the sites has changed it. Propose the check again.",
            ) from None

    def _header(self, sender: str, receiver: str) -> bytes:
        return f"talkoot sealed {self.run} {sender} {receiver}".encode()

    def _cipher(self, peer: str, header: bytes) -> AESGCM:
        public = to_certificate(self.roster[peer].certificate).public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise Refused(f"the certificate of {peer} holds another kind of key")
        secret = self.identity.keys.tls.exchange(ec.ECDH(), public)
        return AESGCM(HKDF(SHA256(), 32, self.run.encode(), header).derive(secret))

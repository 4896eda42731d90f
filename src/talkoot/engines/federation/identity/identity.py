"""An identity: a folder with keys and an approved certificate, and what they are good for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

from cryptography import x509

from talkoot.core.errors import DataError, Refused
from talkoot.engines.federation.identity import approval, requests, revocation
from talkoot.engines.federation.identity import peer as peers
from talkoot.engines.federation.identity.files import read, write_whole
from talkoot.engines.federation.identity.keys import Keys, is_signed
from talkoot.engines.federation.identity.names import COORDINATOR_HOST, Role, require_name
from talkoot.engines.federation.identity.peer import Peer
from talkoot.engines.federation.identity.revocation import Revocations

APPROVED, REQUEST, REVOKED = ".approved", ".request", "revoked.json"
CHANNEL_OPTIONS = (("grpc.ssl_target_name_override", COORDINATOR_HOST),)


class HasAuth(Protocol):
    """A call's context in a grpc server."""

    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        """What TLS knows of the other end."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """A party of the federation as it knows itself. The certificate is the identity and nothing else is.

    Args:
        folder: where its keys and its approved certificate are.
        me: what its certificate says.
        certificate: PEM.
        authority: the authority's certificate.
        keys: the private keys.
        approved_revoked: the revoked certificates that came with the approval.
    """

    folder: Path
    me: Peer
    certificate: bytes
    authority: x509.Certificate
    keys: Keys
    approved_revoked: Revocations

    @classmethod
    def load(cls, folder: str | Path) -> Identity:
        """The identity in a folder.

        Raises:
            DataError: there is no approved certificate, or its keys are elsewhere.
            Refused: the certificate has expired or is revoked, or others can read the keys.
        """
        folder = Path(folder).expanduser()
        found = approval.load(_approved(folder))
        authority = peers.to_certificate(found.authority.encode())
        certificate = peers.to_certificate(found.certificate.encode())
        me = peers.check(certificate, authority)
        revoked = revocation.from_bytes(found.revoked.encode(), authority)
        keys = Keys.load(folder, me.signing_key)
        if keys.tls.public_key() != certificate.public_key():
            raise Refused(f"the certificate of {me.name} is not for the keys in {folder}")
        identity = cls(folder, me, found.certificate.encode(), authority, keys, revoked)
        identity.revoked.require_valid(me)
        return identity

    @property
    def name(self) -> str:
        """The party's name."""
        return self.me.name

    @property
    def role(self) -> Role:
        """The party's role."""
        return self.me.role

    def require_role(self, role: Role) -> None:
        """Refuse to be used as another role.

        Raises:
            Refused: the certificate is for another role.
        """
        if self.role != role:
            raise Refused(f"{self.folder} holds the certificate of a {self.role}, and a {role} is needed")

    @property
    def revoked(self) -> Revocations:
        """The certificates that count no more, by the newest list that there is; read anew each time."""
        path = self.folder / REVOKED
        lists = [self.approved_revoked]
        if path.exists():
            lists.append(revocation.from_bytes(read(path), self.authority))
        return max(lists, key=lambda each: each.number)

    @property
    def revoked_bytes(self) -> bytes | None:
        """The newest list as others can check it; None if no other came than that of the approval."""
        path = self.folder / REVOKED
        return read(path) if path.exists() else None

    def update_revoked(self, data: bytes) -> Revocations:
        """Take a list over from the coordinator, if it is newer.

        Raises:
            Refused: the authority did not sign it.
        """
        fresh, known = revocation.from_bytes(data, self.authority), self.revoked
        if fresh.number <= known.number:
            return known
        write_whole(self.folder / REVOKED, data)
        return fresh

    def sign(self, data: bytes, about: str) -> bytes:
        """A signature of this party, which counts for nothing but what it is about."""
        return self.keys.sign(data, about)

    def peer_of(self, certificate: bytes) -> Peer:
        """The party of a certificate (PEM).

        Raises:
            Refused: it was made by another authority, has expired, or is revoked.
        """
        peer = peers.check(peers.to_certificate(certificate), self.authority)
        self.revoked.require_valid(peer)
        return peer

    def peer(self, context: HasAuth) -> Peer:
        """The party at the other end of a call, at a server.

        Raises:
            Refused: as `peer_of`, or the call came without a certificate.
        """
        found = context.auth_context().get("x509_pem_cert")
        if not found:
            raise Refused("the call came without a certificate")
        return self.peer_of(found[0])

    def server_credentials(self) -> Any:
        """Grpc's credentials of a server that takes nobody without a certificate of this federation."""
        import grpc

        self.require_role("coordinator")
        pair = (self.keys.tls_pem, self.certificate)
        return grpc.ssl_server_credentials([pair], self._root, require_client_auth=True)

    def channel_credentials(self) -> Any:
        """Grpc's credentials of a client. Its channel needs `CHANNEL_OPTIONS`, so that none but a coordinator
        answers, on whatever machine it runs.
        """
        import grpc

        return grpc.ssl_channel_credentials(self._root, self.keys.tls_pem, self.certificate)

    @property
    def _root(self) -> bytes:
        from cryptography.hazmat.primitives.serialization import Encoding

        return self.authority.public_bytes(Encoding.PEM)


def verify(data: bytes, about: str, signature: bytes, peer: Peer) -> bool:
    """Whether a party signed data about this."""
    return is_signed(data, about, signature, peer.signing_key)


def request(folder: str | Path, name: str | None, role: Role, *, renew: bool = False) -> tuple[Path, str]:
    """Make keys in a folder, and a request for their certificate beside it.

    Args:
        folder: where the keys stay.
        name: of the party; for a renewal it is known.
        role: of the party.
        renew: sign the request with the certificate that there is.

    Returns:
        The request's file, and its fingerprint, to be read to the operator.

    Raises:
        DataError: there is a certificate and this is no renewal, or the other way round.
    """
    folder = Path(folder).expanduser()
    if renew:
        old = Identity.load(folder)
        name, role = old.name, old.role
        pair = (old.keys, old.certificate)
    elif any(folder.glob(f"*{APPROVED}")):
        raise DataError(f"{folder} has a certificate", cure="To renew it, add --renew.")
    name = require_name(name or folder.name)
    made = requests.make(Keys.make(folder), name, role, pair if renew else None)
    path = folder / f"{made.subject[0]}{REQUEST}"
    write_whole(path, made.to_bytes())
    return path, made.fingerprint


def _approved(folder: Path) -> Path:
    found = sorted(folder.glob(f"*{APPROVED}"))
    if not found:
        pending = sorted(folder.glob(f"*{REQUEST}"))
        cure = (
            f"Send {pending[0]} to the operator, and put the .approved file that comes back into {folder}."
            if pending
            else "Make a request: talkoot site request NAME, or talkoot provision request NAME --role ROLE."
        )
        raise DataError(f"there is no approved certificate in {folder}", cure=cure)
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise DataError(f"{folder} holds several certificates: {names}", cure="Leave one.")
    return found[0]

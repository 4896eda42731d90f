"""The authority of a federation: it turns requests into certificates, and revokes them; all by file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from talkoot.core.errors import DataError, Refused
from talkoot.engines.federation.identity import peer as peers
from talkoot.engines.federation.identity import requests, revocation
from talkoot.engines.federation.identity.approval import Approval
from talkoot.engines.federation.identity.files import read, read_private, write_private, write_whole
from talkoot.engines.federation.identity.names import COORDINATOR_HOST, require_name
from talkoot.engines.federation.identity.peer import Peer
from talkoot.engines.federation.identity.requests import Request
from talkoot.engines.federation.identity.revocation import Revocations, Revoked

KEY, CERTIFICATE, REVOKED, ISSUED = "authority.key", "authority.crt", "revoked.json", "issued"
YEARS = timedelta(days=3653)
DAYS = 397  # that a certificate counts
CLOCKS = timedelta(hours=1)  # by which clocks may differ


@final
@dataclass(frozen=True, slots=True, eq=False)
class Authority:
    """The authority that lives in a folder."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, folder: Path, name: str) -> Authority:
        """A new authority.

        Raises:
            DataError: there is one in the folder.
        """
        require_name(name)
        if (folder / KEY).exists():
            raise DataError(f"{folder} has an authority already", cure="Take another folder.")
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} talkoot authority")])
        builder = _between(_of(subject, subject, key.public_key()), YEARS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        certificate = builder.sign(key, hashes.SHA256())
        private = key.private_bytes(
            Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_private(folder / KEY, private)
        write_whole(folder / CERTIFICATE, certificate.public_bytes(Encoding.PEM))
        made = cls(folder, key, certificate)
        made._write(Revocations())
        return made

    @classmethod
    def load(cls, folder: Path) -> Authority:
        """The authority in a folder.

        Raises:
            DataError: there is none.
            Refused: others can read its key.
        """
        if not (folder / KEY).exists():
            raise DataError(
                f"there is no authority in {folder}",
                cure="Make one: talkoot provision init; or name its folder with --authority.",
            )
        key = serialization.load_pem_private_key(read_private(folder / KEY), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(folder, key, peers.to_certificate(read(folder / CERTIFICATE)))

    @property
    def revoked(self) -> Revocations:
        """The certificates that count no more."""
        return revocation.from_bytes(read(self.folder / REVOKED), self.certificate)

    def valid(self, name: str, now: datetime | None = None) -> list[Peer]:
        """The certificates of a name that count."""
        found = []
        for path in sorted((self.folder / ISSUED).glob(f"{require_name(name)}.*.crt")):
            try:
                one = peers.check(peers.to_certificate(read(path)), self.certificate, now)
                self.revoked.require_valid(one)
            except Refused:
                continue
            found.append(one)
        return found

    def approve(self, request: Request, *, days: int = DAYS, now: datetime | None = None) -> Approval:
        """The certificate of a request.

        Raises:
            Refused: the name is taken and its owner has not signed, or the certificate to renew is another's,
                expired or revoked.
        """
        name, _, _ = request.subject
        if request.renews:
            self._require_renewal(request, now)
        elif self.valid(name, now):
            raise Refused(
                f"{name} has a certificate, and did not sign this request with it",
                cure=f"To renew it, have {name} write talkoot site request --renew. If its keys are lost: "
                f"talkoot provision revoke {name}, then approve again.",
            )
        certificate = self._sign(request, timedelta(days=days), now or datetime.now(UTC))
        pem = certificate.public_bytes(Encoding.PEM)
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        write_whole(self.folder / ISSUED / f"{name}.{fingerprint[:16]}.crt", pem)
        return Approval(
            certificate=pem.decode(),
            authority=self.certificate.public_bytes(Encoding.PEM).decode(),
            revoked=read(self.folder / REVOKED).decode(),
        )

    def revoke(self, name: str, reason: str, fingerprint: str = "") -> Revocations:
        """The list with all certificates of a name on it, or those whose fingerprint begins so.

        Raises:
            DataError: it has none that counts.
        """
        now = datetime.now(UTC)
        valid = [one for one in self.valid(name, now) if one.fingerprint.startswith(fingerprint)]
        if not valid:
            raise DataError(
                f"{name} has no certificate that counts", cure="Look into the folder issued/ for its name."
            )
        revoked = self.revoked
        for one in valid:
            revoked = revoked.with_one(Revoked(name, one.fingerprint, now, reason))
        self._write(revoked)
        return revoked

    def _write(self, revoked: Revocations) -> None:
        write_whole(self.folder / REVOKED, revocation.to_bytes(revoked, self.key))

    def _require_renewal(self, request: Request, now: datetime | None) -> None:
        old = peers.check(peers.to_certificate(request.renews.encode()), self.certificate, now)
        self.revoked.require_valid(old)
        name, role, _ = request.subject
        if (old.name, old.role) != (name, role):
            raise Refused(f"the {old.role} {old.name} cannot renew a certificate for the {role} {name}")
        if not requests.is_renewal_signed(request, old.signing_key):
            raise Refused(f"the renewal is not signed by the certificate of {name} that it renews")

    def _sign(self, request: Request, valid: timedelta, now: datetime) -> x509.Certificate:
        csr, (name, role, _) = request.signed, request.subject
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(uri)
            for uri in names.get_values_for_type(x509.UniformResourceIdentifier)
        ]
        serves = role == "coordinator"
        hosts = [x509.DNSName(COORDINATOR_HOST)] if serves else []
        use = ExtendedKeyUsageOID.SERVER_AUTH if serves else ExtendedKeyUsageOID.CLIENT_AUTH
        public = csr.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _between(_of(subject, self.certificate.subject, public), valid, now)
        for extension, critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(signs_certificates=False), True),
            (x509.SubjectAlternativeName([*uris, *hosts]), False),
            (x509.ExtendedKeyUsage([use]), False),
        ):
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())


def _of(subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    return builder.public_key(public).serial_number(x509.random_serial_number())


def _between(
    builder: x509.CertificateBuilder, valid: timedelta, now: datetime | None = None
) -> x509.CertificateBuilder:
    now = now or datetime.now(UTC)
    return builder.not_valid_before(now - CLOCKS).not_valid_after(now + valid)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )

"""A site's consent that its part of a model becomes known: a signature that every other site can check."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import final

import msgspec

from talkoot.core.errors import Refused
from talkoot.engines.federation.identity.identity import Identity, verify

ABOUT = "consent"  # what the signature is about


@final
class Consent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a site has signed.

    Args:
        run: in which its rows were learned from.
        plan: SHA-256 of what was learned, in hexadecimal.
        site: whose consent it is.
        signature: by the key of its certificate.
    """

    run: str
    plan: str
    site: str
    signature: bytes

    @property
    def statement(self) -> bytes:
        """What is signed."""
        return f"{self.run} {self.plan}: what {self.site} sent in this run may become known".encode()


def consent(run: str, plan: bytes, identity: Identity) -> Consent:
    """The consent of a site for a run and its plan."""
    plain = Consent(run, hashlib.sha256(plan).hexdigest(), identity.name, b"")
    return msgspec.structs.replace(plain, signature=identity.sign(plain.statement, ABOUT))


def require_consent(given: Consent, plan: bytes, roster: Mapping[str, str], identity: Identity) -> None:
    """Refuse a consent that its site has not signed, or that is for another plan.

    Args:
        given: the consent.
        plan: of its run.
        roster: certificates of the sites of its run, PEM.
        identity: who checks.

    Raises:
        Refused: it does not count.
    """
    certificate = roster.get(given.site)
    same = given.plan == hashlib.sha256(plan).hexdigest()
    if (
        certificate is None
        or not same
        or not verify(given.statement, ABOUT, given.signature, identity.peer_of(certificate.encode()))
    ):
        raise Refused(
            f"{given.site!r:.80} has not signed that its part of the run {given.run[:8]!r} may become known",
            cure="Have that site approve that it is forgotten: fit.forget(site).",
        )

"""What a researcher proposes: on which data set, what, why, and with whom. Its digest names the run."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from typing import Literal, Protocol, final, get_args

import msgspec

from talkoot.core.errors import DataError, Refused
from talkoot.data.fixes import Fix
from talkoot.engines.federation.identity.consents import Consent
from talkoot.engines.federation.identity.identity import Identity, verify
from talkoot.engines.federation.identity.peer import Peer

ABOUT = "proposal"  # what its signature is about
AGAIN = "Have the researcher propose again: certificates are renewed from time to time."
LIMIT = 16 << 20  # bytes
LONGEST = 1000  # signs of a text
State = Literal["approved", "pending", "refused", "expired", "withdrawn"]
Kind = Literal["fit", "check", "compare", "verify", "forget"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@final
class Proposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A proposal, as sites decide on it.

    Args:
        dataset: the name under which sites have registered their rows.
        target: the target's column.
        plan: the plan as a frame, without the schema that the nodes will agree on; empty for a check.
        kind: what is done with it.
        terms: what else belongs to it, by name; see `consent/terms.py`.
        purpose: why.
        permit: who has permitted it, such as the number of an ethics vote.
        roster: the sites, with their certificates, PEM.
        researcher: whose certificate signs it.
        until: the last day on which it counts, such as "2027-03-31"; empty to leave that to the sites.
        classes: of the target, where the researcher declares them.
        fixes: what sites change in their columns first.
        consents: of sites whose part of an earlier run may become known.
    """

    dataset: str
    target: str | None
    plan: bytes
    kind: Kind
    purpose: str
    permit: str
    roster: dict[str, str]
    researcher: str
    terms: dict[str, str | int] = {}
    until: str = ""
    classes: list[bool | int | float | str] = []
    fixes: list[Fix] = []
    consents: list[Consent] = []

    def to_bytes(self) -> bytes:
        """As bytes; equal proposals are equal bytes."""
        return msgspec.msgpack.encode(self, order="sorted")

    def expires(self, seen: float, days: int) -> float:
        """When it counts no more, in seconds since 1970: `days` after it was seen first, or after `until`."""
        latest = seen + days * 86400
        if not self.until:
            return latest
        last = datetime.combine(_day(self.until), datetime.min.time(), UTC) + timedelta(days=1)
        return min(latest, last.timestamp())


class Signed(Protocol):
    """A proposal on its way."""

    @property
    def proposal(self) -> bytes:
        """What is proposed."""

    @property
    def signature(self) -> bytes:
        """Of the researcher."""

    @property
    def certificate(self) -> bytes:
        """Of the researcher, PEM."""


@final
class SignedProposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A proposal with its signature, as it lies in a file."""

    proposal: bytes
    signature: bytes
    certificate: bytes


def from_bytes(data: bytes) -> Proposal:
    """The proposal of these bytes.

    Raises:
        DataError: they are none, or are not as `to_bytes` makes them.
    """
    if len(data) > LIMIT:
        raise DataError(f"a proposal of {len(data)} bytes is larger than {LIMIT}")
    try:
        found = msgspec.msgpack.decode(data, type=Proposal)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"this is no proposal: {error}") from None
    _require_readable(found)
    if found.to_bytes() != data:
        raise DataError("this proposal is not written as Talkoot writes them")
    return found


def run_of(data: bytes) -> str:
    """The name of the run that a proposal, as bytes, is about."""
    return hashlib.sha256(data).hexdigest()


def sign(proposal: Proposal, identity: Identity) -> SignedProposal:
    """The proposal, signed by the researcher.

    Raises:
        Refused: it is another's.
    """
    identity.require_role("researcher")
    if proposal.researcher != identity.name:
        raise Refused(f"this is a proposal of {proposal.researcher}, and {identity.name} cannot sign it")
    data = proposal.to_bytes()
    return SignedProposal(data, identity.sign(data, ABOUT), identity.certificate)


def require_genuine(signed: Signed, identity: Identity) -> tuple[Proposal, Peer]:
    """The proposal and its researcher, as a site believes them.

    Raises:
        DataError: it is no proposal.
        Refused: the certificate does not count or is no researcher's, the signature is another's, or this
            site is not on the roster with the certificate that it has, or others on it do not count.
    """
    proposal, peer = from_bytes(signed.proposal), identity.peer_of(signed.certificate)
    if peer.role != "researcher":
        raise Refused(f"the {peer.role} {peer.name} proposes, and only researchers may")
    if peer.name != proposal.researcher:
        raise Refused(f"{peer.name} brings a proposal of {proposal.researcher}")
    if not verify(signed.proposal, ABOUT, signed.signature, peer):
        raise Refused(f"the proposal is not signed by {peer.name}")
    _require_listed(proposal, identity)
    return proposal, peer


def roster_of(proposal: Proposal, identity: Identity) -> dict[str, Peer]:
    """The sites of a proposal: each has a certificate of this federation, so nobody can invent one.

    Raises:
        Refused: a certificate does not count, or is another's.
    """
    found = {}
    for name, certificate in proposal.roster.items():
        try:
            found[name] = identity.peer_of(certificate.encode())
        except Refused as error:
            raise Refused(f"the site {name!r:.80} of the proposal: {error.cause}", cure=AGAIN) from None
        if (found[name].name, found[name].role) != (name, "site"):
            raise Refused(f"the site {name!r:.80} of the proposal has the certificate of {found[name].name}")
    return found


def _require_listed(proposal: Proposal, identity: Identity) -> None:
    """Refuse a roster that this site is not on, or on which somebody is not who he should be."""
    if identity.name not in proposal.roster:
        raise Refused(f"{identity.name} is not among the sites of the proposal")
    if roster_of(proposal, identity)[identity.name].fingerprint != identity.me.fingerprint:
        raise Refused(f"the proposal names another certificate of {identity.name}", cure=AGAIN)


def _require_readable(proposal: Proposal) -> None:
    """Refuse text that could show as other than it is, or that nobody can read."""
    if proposal.until:
        _day(proposal.until)
    texts = [proposal.dataset, proposal.target or "", proposal.purpose, proposal.permit]
    texts += [str(term) for pair in proposal.terms.items() for term in pair]
    texts += [value for value in proposal.classes if isinstance(value, str)]
    for text in (*texts, proposal.researcher, *proposal.roster):
        if len(text) > LONGEST or not text.isprintable():
            raise DataError(
                f"a proposal's texts are one line of at most {LONGEST} signs, and this is not: {text!r:.80}"
            )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise DataError(f"until = {text!r:.40} is no day", cure='Write "2027-03-31".') from None

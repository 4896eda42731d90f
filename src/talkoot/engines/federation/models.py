"""Fitted models for sites: a researcher signs what is delivered, a site takes what it helped to learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import msgspec

from talkoot.core.errors import Refused
from talkoot.engines.federation.consent.desk import Desk
from talkoot.engines.federation.identity.consents import Consent
from talkoot.engines.federation.identity.files import write_whole
from talkoot.engines.federation.identity.identity import Identity, verify
from talkoot.engines.federation.link.messages import Deliver, Frame

ABOUT = "model"  # what the signature is about
NAMED = 12  # digits of the run in a file's name


def signed(
    run: str,
    data: bytes,
    identity: Identity,
    *,
    sites: Sequence[str] = (),
    consents: Sequence[Consent] = (),
) -> Deliver:
    """What announces the model of a run; with the consents of sites that were forgotten, to the others."""
    plain = Deliver(run, Frame.of(data), b"", tuple(sites), tuple(consents))
    return msgspec.structs.replace(plain, signature=identity.sign(plain.statement, ABOUT))


@final
@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """The models of a site, in its folder `models`.

    Args:
        desk: who knows what was approved here.
    """

    desk: Desk

    def require_wanted(self, deliver: Deliver) -> None:
        """Refuse a model of a run that was not approved here, or that is not its researcher's.

        Raises:
            TalkootError: the site does not want it.
        """
        signed_proposal = self.desk.find(deliver.run)
        decisions = self.desk.journal.decisions(deliver.run)
        if not decisions or decisions[-1].state != "approved":
            raise Refused("its run is not approved here")
        researcher = self.desk.identity.peer_of(signed_proposal.certificate)
        if not verify(deliver.statement, ABOUT, deliver.signature, researcher):
            raise Refused(f"it is not signed by {researcher.name}")
        self.desk.require_consents(deliver.consents)

    def write(self, deliver: Deliver, data: memoryview) -> Path:
        """Write a model down; returns its file."""
        path = self.desk.folder / "models" / f"{deliver.run[:NAMED]}.talkoot"
        write_whole(path, data)
        facts = {"run": deliver.run, "bytes": deliver.frame.size, "digest": deliver.frame.digest.hex()}
        self.desk.audit.append("model", facts)
        return path

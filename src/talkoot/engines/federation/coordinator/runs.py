"""What was proposed and what sites decided: a coordinator that comes back knows it still."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import final

import msgspec

from talkoot.core.errors import DataError
from talkoot.engines.federation.identity.consents import Consent
from talkoot.engines.federation.journal import Journal
from talkoot.engines.federation.link.messages import Propose, State

FOLDER, _PROPOSED = "runs", b"proposed"


@final
class Proposed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run that has not ended.

    Args:
        researcher: whose it is.
        sites: the names of its sites.
        propose: what is proposed.
        since: when it was proposed first, in seconds since 1970.
    """

    researcher: str
    sites: tuple[str, ...]
    propose: Propose
    since: float


@final
class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a site decided last, and when."""

    state: State
    reason: str
    at: float
    consent: Consent | None = None


@final
class Runs:
    """The runs that have not ended, in the coordinator's folder.

    Args:
        folder: of the coordinator.
    """

    def __init__(self, folder: Path) -> None:
        self._journal = Journal(folder / FOLDER)

    def propose(self, run: str, proposed: Proposed) -> None:
        """Write a run down."""
        self._journal.put(run, {_PROPOSED: msgspec.msgpack.encode(proposed)})

    def decide(self, run: str, site: str, decision: Decision) -> None:
        """Write down what a site decided."""
        self._journal.put(run, {_key(site): msgspec.msgpack.encode(decision)})

    def forget(self, run: str) -> None:
        """The run is over."""
        self._journal.forget(run)

    def known(self) -> Iterator[tuple[str, Proposed, Mapping[str, Decision]]]:
        """Each run with what its sites have decided.

        Raises:
            DataError: what is written down cannot be read.
        """
        for run in self._journal.runs():
            try:
                yield (run, *self._known(run))
            except msgspec.DecodeError as error:
                raise DataError(
                    f"the run {run[:12]} in the coordinator's folder {FOLDER}/ cannot be read: {error}",
                    cure="Move that folder away; researchers and sites then propose and decide again.",
                ) from None

    def _known(self, run: str) -> tuple[Proposed, Mapping[str, Decision]]:
        proposed = msgspec.msgpack.decode(self._journal.get(run, _PROPOSED) or b"", type=Proposed)
        found = {site: self._journal.get(run, _key(site)) for site in proposed.sites}
        decided = {site: msgspec.msgpack.decode(data, type=Decision) for site, data in found.items() if data}
        return proposed, decided

    def close(self) -> None:
        """Close the files."""
        self._journal.close()


def _key(site: str) -> bytes:
    return b"decided " + site.encode()

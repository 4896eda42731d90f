"""What a site brings to secure sums: its certified key, the approved roster, and what it has released."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, replace
from typing import final

import msgspec

from talkoot.core.plan import Plan
from talkoot.engines.federation.consent.proposal import Proposal, roster_of
from talkoot.engines.federation.identity.identity import Identity
from talkoot.engines.federation.journal import Journal
from talkoot.guards.mask.identity import Identity as Signer
from talkoot.guards.mask.mask import Mask


@final
@dataclass(frozen=True, slots=True, eq=False)
class SecureSums:
    """Gives the masks of a plan what the site alone has.

    Args:
        identity: the site.
        journal: what it released; apart from the journal of runs, as it must outlive them: a run that is
            proposed once more asks the same questions.
    """

    identity: Identity
    journal: Journal

    def join(self, plan: Plan, run: str, proposal: Proposal) -> Plan:
        """The plan as this site works on it.

        Raises:
            Refused: a certificate of the roster does not count any more.
        """
        if not any(isinstance(link, Mask) for link in plan.chain):
            return plan
        signer = Signer(
            key=self.identity.keys.signing.private_bytes_raw(),
            roster={name: peer.signing_key for name, peer in roster_of(proposal, self.identity).items()},
            run=run,
            released=Releases(self.journal, run),
        )
        chain = [replace(link, identity=signer) if isinstance(link, Mask) else link for link in plan.chain]
        return plan.with_chain(chain)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Releases(MutableMapping[str, tuple[str, ...]]):
    """For which nodes something was decided in a run; written down before anybody learns of it."""

    journal: Journal
    run: str

    def __getitem__(self, key: str) -> tuple[str, ...]:
        if (found := self.journal.get(self.run, key.encode())) is None:
            raise KeyError(key)
        return msgspec.json.decode(found, type=tuple[str, ...])

    def __setitem__(self, key: str, nodes: tuple[str, ...]) -> None:
        self.journal.put(self.run, {key.encode(): msgspec.json.encode(nodes)})

    def __delitem__(self, key: str) -> None:
        raise TypeError("what was released stays released")

    def __iter__(self) -> Iterator[str]:
        return (key.decode() for key in self.journal.keys(self.run))

    def __len__(self) -> int:
        return len(self.journal.keys(self.run))

"""What a site brings to the secure sums of an approved run: its key, the others', and what it released."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, final

from talkoot.core.digest import digest
from talkoot.core.engine import View
from talkoot.core.plan import Plan
from talkoot.core.transform import Chain
from talkoot.engines.federation.consent.proposal import Proposal, roster_of, run_of
from talkoot.engines.federation.identity.identity import Identity
from talkoot.engines.federation.ledger.ledger import Ledger
from talkoot.guards.mask.identity import Identity as Signer
from talkoot.guards.mask.mask import Mask


@final
@dataclass(frozen=True, slots=True)
class Released(MutableMapping[str, tuple[str, ...]]):
    """For which survivors secrets of a run were released; on the disk before it is used."""

    ledger: Ledger
    run: str
    rows: str  # which of its rows the site looks at

    def setdefault(self, key: str, default: Any = ()) -> tuple[str, ...]:
        """What stands there; the default is written if nothing does."""
        return self.ledger.release(self.run, f"{self.rows}/{key}", tuple(default))

    def __setitem__(self, key: str, value: tuple[str, ...]) -> None:
        if self.setdefault(key, value) != value:
            raise KeyError(f"{key} stands there already")

    def __getitem__(self, key: str) -> tuple[str, ...]:
        return self._all()[key]

    def __delitem__(self, key: str) -> None:
        raise KeyError(f"{key} is never forgotten")

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, tuple[str, ...]]:
        mine, found = f"{self.rows}/", self.ledger.released(self.run)
        return {key.removeprefix(mine): nodes for key, nodes in found.items() if key.startswith(mine)}


def with_keys(plan: Plan, view: View | None, proposal: Proposal, identity: Identity, ledger: Ledger) -> Plan:
    """A plan whose masks know this site's key and those of the approved roster; others as they are.

    Sites sign for the view of their rows too, so that nobody can have one of them leave out another fold, or
    read its columns or classes in another order, and take the difference.

    Raises:
        Refused: a certificate of the roster does not count any more.
    """
    if not any(isinstance(link, Mask) for link in plan.chain):
        return plan
    run, rows = run_of(proposal.to_bytes()), "all" if view is None else digest(view)
    signer = Signer(
        key=identity.keys.signing.private_bytes_raw(),
        roster={name: peer.signing_key for name, peer in roster_of(proposal, identity).items()},
        run=run if view is None else f"{run}/{rows}",
        released=Released(ledger, run, rows),
    )
    links = (replace(link, identity=signer) if isinstance(link, Mask) else link for link in plan.chain)
    made = copy(plan)
    object.__setattr__(made, "chain", Chain(tuple(links)))
    return made

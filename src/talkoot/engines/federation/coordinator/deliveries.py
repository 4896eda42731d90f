"""Fitted models on their way to sites, also to those that are away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast, final

from talkoot.engines.federation.journal import Journal
from talkoot.engines.federation.link.exchange import Exchange
from talkoot.engines.federation.link.messages import Deliver, decode, encode

RUN = "model "  # before the run's name: models outlive their runs in the journal
DELIVER, SITES, MODEL = b"deliver", b"sites", b"model"


@final
@dataclass(slots=True, eq=False)
class _Waiting:
    deliver: Deliver
    sites: set[str]  # that do not have it
    offered: dict[str, Exchange] = field(default_factory=dict)
    model: bytes | None = None  # while it is offered


@final
class Deliveries:
    """Models, until each site of their run has taken them; a restarted coordinator goes on with its journal.

    Args:
        journal: where they stand.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.waiting: dict[str, _Waiting] = {}
        for name in journal.runs():
            announced, sites = journal.get(name, DELIVER), journal.get(name, SITES)
            if name.startswith(RUN) and announced and sites:
                deliver = cast("Deliver", decode(announced))
                self.waiting[deliver.run] = _Waiting(deliver, set(sites.decode().splitlines()))

    def add(self, deliver: Deliver, sites: Sequence[str], model: memoryview) -> None:
        """A researcher has brought a model; the same one again changes nothing."""
        before = self.waiting.get(deliver.run)
        if before is not None and before.deliver.frame == deliver.frame:
            return
        if before is not None:
            self._withdraw(before, list(before.offered))
        items: dict[bytes, bytes | memoryview] = {
            DELIVER: encode(deliver),
            SITES: "\n".join(sites).encode(),
            MODEL: model,
        }
        self.journal.put(RUN + deliver.run, items, only=True)
        self.waiting[deliver.run] = _Waiting(deliver, set(sites))

    async def remind(self, site: str, exchange: Exchange) -> None:
        """Announce to a site what it does not have."""
        for run, waiting in list(self.waiting.items()):
            if site not in waiting.sites:
                continue
            if site not in waiting.offered:
                waiting.model = waiting.model or self.journal.get(RUN + run, MODEL)
                if waiting.model is None:  # the journal had no room for it
                    continue
                exchange.transfers.offer(waiting.model, waiting.deliver.frame)
                waiting.offered[site] = exchange
            await exchange.send(waiting.deliver)

    def taken(self, site: str, run: str) -> None:
        """A site has a model, or does not want it."""
        waiting = self.waiting.get(run)
        if waiting is None or site not in waiting.sites:
            return
        waiting.sites.discard(site)
        self._withdraw(waiting, [site])
        if waiting.sites:
            self.journal.put(RUN + run, {SITES: "\n".join(sorted(waiting.sites)).encode()})
        else:
            del self.waiting[run]
            self.journal.forget(RUN + run)

    def _withdraw(self, waiting: _Waiting, sites: Sequence[str]) -> None:
        for site in sites:
            if (exchange := waiting.offered.pop(site, None)) is not None:
                exchange.transfers.withdraw(waiting.deliver.frame.digest)
        if not waiting.offered:
            waiting.model = None

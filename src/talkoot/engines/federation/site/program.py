"""`talkoot site run FOLDER`: a site that stays connected to the coordinator, until it is stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from talkoot.core.errors import Refused
from talkoot.engines.federation.consent.data_sets import registered, site_file
from talkoot.engines.federation.consent.desk import Desk
from talkoot.engines.federation.identity.identity import Identity
from talkoot.engines.federation.journal import Journal
from talkoot.engines.federation.link.greeting import software
from talkoot.engines.federation.models import Models
from talkoot.engines.federation.settings import dialling
from talkoot.engines.federation.site.site import Site
from talkoot.engines.federation.site.worker import Worker
from talkoot.learners import catalogue


async def serve(folder: Path, say: Callable[[str], None]) -> None:
    """Run the site of a folder.

    Raises:
        Refused: the coordinator refuses it for good.
    """
    identity, found, known = Identity.load(folder), site_file(folder), registered(folder)
    identity.require_role("site")
    catalogue()  # imported now, not in the first round
    desk, journal = Desk(identity, known), Journal(folder / "journal")
    desk.audit.append("start", {"versions": software()})
    worker = Worker(identity.name, desk, journal, known)
    say(f"{identity.name} calls {found.coordinator}; data sets: {', '.join(found.data) or 'none'}")
    try:
        refusal = await Site(dialling(identity, found), worker, desk, Models(desk), say).run()
    finally:
        journal.close()
    raise Refused(
        f"the coordinator at {found.coordinator} refuses: {refusal.cause}", cure=refusal.cure or None
    )

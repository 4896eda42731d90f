"""A coordinator or a site as a process: rows are arrays in its folder, and every proposal is approved."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

import numpy as np

from talkoot.data.roles import Roles
from talkoot.data.tables.memory import from_memory
from talkoot.data.tables.source import Source
from talkoot.engines.federation.coordinator import program
from talkoot.engines.federation.identity.identity import Identity
from talkoot.engines.federation.journal import Journal
from talkoot.engines.federation.link.messages import Propose
from talkoot.engines.federation.settings import SiteSettings, dialling, settings
from talkoot.engines.federation.site.site import Decision, Site
from talkoot.engines.federation.site.worker import Worker


class Rows:
    """The rows of a folder, whatever the data set is called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, name: str, target: str | None) -> Source:
        with np.load(self.folder / "rows.npz") as rows:
            X, y = rows["X"], rows["y"]
        return from_memory(self.folder.name, X, Roles(target=None if target is None else y))


class Open:
    """A desk that approves all."""

    def decide(self, proposal: Propose) -> Decision:
        return Decision("approved")


async def site(folder: Path) -> None:
    identity = Identity.load(folder)
    worker = Worker(identity.name, Rows(folder), Journal(folder / "journal"), registered())
    await Site(dialling(identity, settings(folder, SiteSettings)), worker, Open(), print).run()


def registered() -> dict[str, object]:
    from paced import Paced
    from talkoot.testing.engines import FailingNode
    from talkoot.testing.toys import Count, Walk

    return {kind.__name__: kind for kind in (Count, Walk, FailingNode, Paced)}


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    kind, folder = sys.argv[1], Path(sys.argv[2])
    try:
        asyncio.run(program.serve(folder, print) if kind == "coordinator" else site(folder))
    except KeyboardInterrupt:
        print("stopped")

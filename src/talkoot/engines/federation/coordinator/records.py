"""All that a coordinator writes down, in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from talkoot.engines.federation.audit import AuditLog
from talkoot.engines.federation.coordinator.roster import Roster
from talkoot.engines.federation.coordinator.runs import Runs
from talkoot.engines.federation.journal import Journal


@final
@dataclass(frozen=True, slots=True)
class Records:
    """What a coordinator writes down.

    Args:
        journal: the results of rounds, from which a restarted coordinator goes on.
        audit: what was proposed and decided, and what sites have sent, by SHA-256.
        roster: the sites that it knows.
        runs: what is proposed, and what sites have decided.
    """

    journal: Journal
    audit: AuditLog
    roster: Roster
    runs: Runs

    @classmethod
    def of(cls, folder: Path) -> Records:
        """Those in a folder."""
        return cls(Journal(folder / "journal"), AuditLog(folder), Roster(folder), Runs(folder))

    def close(self) -> None:
        """Close the files."""
        self.journal.close()
        self.runs.close()

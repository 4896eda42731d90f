"""All that a coordinator writes down, in its folder."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from talkoot.core.errors import TalkootError
from talkoot.engines.federation.audit import AuditLog
from talkoot.engines.federation.coordinator.roster import Roster
from talkoot.engines.federation.coordinator.runs import Decision, Proposed, Runs
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
        say: prints a line where something cannot be written down: parties are served all the same.
    """

    journal: Journal
    audit: AuditLog
    roster: Roster
    runs: Runs
    say: Callable[[str], None]

    @classmethod
    def of(cls, folder: Path, say: Callable[[str], None]) -> Records:
        """Those in a folder."""
        return cls(Journal(folder / "journal"), AuditLog(folder), Roster(folder), Runs(folder), say)

    def know(self, site: str, certificate: bytes) -> None:
        """A site has called, with this certificate (PEM)."""
        self._careful(lambda: self.roster.add(site, certificate))

    def propose(self, run: str, proposed: Proposed) -> None:
        """A run is proposed."""
        parts = {"proposal": proposed.propose.proposal, "signature": proposed.propose.signature}
        facts = {name: base64.b64encode(part).decode() for name, part in parts.items()}
        by = {"researcher": proposed.researcher, "certificate": proposed.propose.certificate.decode()}
        self._careful(lambda: self.runs.propose(run, proposed))
        self.note("proposed", run, {**by, **facts})

    def decide(self, run: str, site: str, decision: Decision) -> None:
        """A site has decided."""
        self._careful(lambda: self.runs.decide(run, site, decision))
        self.note("decided", run, {"site": site, "state": decision.state, "why": decision.reason})

    def finish(self, run: str, researcher: str) -> None:
        """A run is over."""
        self._careful(lambda: self.runs.forget(run))
        self.note("finished", run, {"researcher": researcher})

    def note(self, event: str, run: str, facts: Mapping[str, object]) -> None:
        """Write an event of a run into the audit log."""
        self._careful(lambda: self.audit.append(event, {"run": run, **facts}))

    def _careful(self, write: Callable[[], object]) -> None:
        try:
            write()
        except (TalkootError, OSError, sqlite3.Error) as error:
            self.say(f"cannot be written down: {error}")

    def close(self) -> None:
        """Close the files."""
        self.journal.close()
        self.runs.close()

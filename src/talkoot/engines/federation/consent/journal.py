"""What a site has decided, and in how many rounds it took part: one SQLite file beside its policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, final

from talkoot.engines.federation.consent.proposal import Signed, SignedProposal, State, run_of
from talkoot.engines.federation.ledger.database import FINAL, transaction


@final
@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about a run: by whom, why and when."""

    state: State
    who: str
    why: str
    at: float


@final
@dataclass(frozen=True, slots=True)
class Journal:
    """The journal of a site. Any process may read and write it."""

    folder: Path

    def see(self, signed: Signed, now: float) -> tuple[float, bool]:
        """Write a proposal down with its newest signature; when it was seen first, and if that is now."""
        run = run_of(signed.proposal)
        row = (run, signed.proposal, signed.signature, signed.certificate, now)
        with transaction(self.folder) as database:
            known = database.execute("select seen from proposals where run = ?", (run,)).fetchone()
            database.execute(
                "insert into proposals values (?, ?, ?, ?, ?) on conflict (run) do update "
                "set signature = excluded.signature, certificate = excluded.certificate",
                row,
            )
        return (now, True) if known is None else (float(known[0]), False)

    def decide(self, run: str, state: State, who: str, why: str, now: float) -> bool:
        """Write a decision down, unless it stands there already; whether it is new.

        A run that is over for good releases nothing more, so what it released need not be remembered.
        """
        with transaction(self.folder) as database:
            last = database.execute(
                "select state, who, why from decisions where run = ? order by number desc limit 1", (run,)
            ).fetchone()
            if last != (state, who, why):
                row = (run, state, who, why, now)
                database.execute(
                    "insert into decisions (run, state, who, why, at) values (?, ?, ?, ?, ?)", row
                )
            if state in FINAL:
                database.execute("delete from released where run = ?", (run,))
        return bool(last != (state, who, why))

    def decisions(self, run: str) -> list[Decision]:
        """All decisions about a run, oldest first."""
        with transaction(self.folder) as database:
            rows = database.execute(
                "select state, who, why, at from decisions where run = ? order by number", (run,)
            ).fetchall()
        return [Decision(cast("State", state), who, why, at) for state, who, why, at in rows]

    def proposals(self, prefix: str = "") -> list[tuple[SignedProposal, float]]:
        """The proposals whose run begins so, with the time when each was seen first; oldest first."""
        with transaction(self.folder) as database:
            rows: Sequence[tuple[bytes, bytes, bytes, float]] = database.execute(
                "select proposal, signature, certificate, seen from proposals "
                "where substr(run, 1, ?) = ? order by seen",
                (len(prefix), prefix),
            ).fetchall()
        return [(SignedProposal(*row[:3]), row[3]) for row in rows]

    def count(self, day: str, key: bytes, most: int) -> bool:
        """Take part in a round, unless that would be more than `most` in a day; a key counts once."""
        with transaction(self.folder) as database:
            known = database.execute(
                "select 1 from rounds where day = ? and round = ?", (day, key)
            ).fetchone()
            (number,) = database.execute("select count(*) from rounds where day = ?", (day,)).fetchone()
            if known is None and number < most:
                database.execute("insert into rounds values (?, ?)", (day, key))
                database.execute("delete from rounds where day < date(?, '-8 days')", (day,))
        return known is not None or number < most

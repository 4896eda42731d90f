"""What a site has decided, and in how many rounds it took part: one SQLite file beside its policy."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast, final

from talkoot.core.errors import DataError, Refused
from talkoot.engines.federation.consent.proposal import Signed, SignedProposal, State, run_of

FILE = "consent.sqlite"
FINAL = ("withdrawn", "expired")  # states that no later decision changes
_ONCE = "once "  # before the name of what is answered once in a run, beside the keys of secure sums
WAIT = 30.0  # seconds for another process to finish its transaction
_TABLES = """
create table if not exists proposals (
    run text primary key, proposal blob, signature blob, certificate blob, seen real
) strict;
create table if not exists decisions (
    number integer primary key, run text, state text, who text, why text, at real
) strict;
create table if not exists released (run text, key text, nodes text, primary key (run, key)) strict;
create table if not exists rounds (day text, round blob, primary key (day, round)) strict;
"""


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

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A transaction."""
        path = self.folder / FILE
        try:
            with closing(sqlite3.connect(path, timeout=WAIT)) as database:
                database.executescript(_TABLES)
                with database:
                    database.execute("begin immediate")
                    yield database
        except sqlite3.Error as error:
            raise DataError(
                f"{path}: {error}", cure="Look at the disk; without its journal a site decides nothing."
            ) from None

    def see(self, signed: Signed, now: float) -> tuple[float, bool]:
        """Write a proposal down with its newest signature; when it was seen first, and if that is now."""
        run = run_of(signed.proposal)
        row = (run, signed.proposal, signed.signature, signed.certificate, now)
        with self._open() as database:
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
        with self._open() as database:
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
        with self._open() as database:
            rows = database.execute(
                "select state, who, why, at from decisions where run = ? order by number", (run,)
            ).fetchall()
        return [Decision(cast("State", state), who, why, at) for state, who, why, at in rows]

    def proposals(self, prefix: str = "") -> list[tuple[SignedProposal, float]]:
        """The proposals whose run begins so, with the time when each was seen first; oldest first."""
        with self._open() as database:
            rows: Sequence[tuple[bytes, bytes, bytes, float]] = database.execute(
                "select proposal, signature, certificate, seen from proposals "
                "where substr(run, 1, ?) = ? order by seen",
                (len(prefix), prefix),
            ).fetchall()
        return [(SignedProposal(*row[:3]), row[3]) for row in rows]

    def count(self, day: str, key: bytes, most: int) -> bool:
        """Take part in a round, unless that would be more than `most` in a day; a key counts once."""
        with self._open() as database:
            known = database.execute(
                "select 1 from rounds where day = ? and round = ?", (day, key)
            ).fetchone()
            (number,) = database.execute("select count(*) from rounds where day = ?", (day,)).fetchone()
            if known is None and number < most:
                database.execute("insert into rounds values (?, ?)", (day, key))
                database.execute("delete from rounds where day < date(?, '-8 days')", (day,))
        return known is not None or number < most

    def release(self, run: str, key: str, nodes: tuple[str, ...]) -> tuple[str, ...]:
        """For which nodes secrets were released under a key; for these, if for none before.

        Raises:
            Refused: the run is over for good.
        """
        with self._open() as database:
            last = database.execute(
                "select state from decisions where run = ? order by number desc limit 1", (run,)
            ).fetchone()
            if last is not None and last[0] in FINAL:
                raise Refused(f"the run is {last[0]} here, and its secrets are not released")
            row = (run, key, json.dumps(nodes))
            database.execute("insert or ignore into released values (?, ?, ?)", row)
            (found,) = database.execute(
                "select nodes from released where run = ? and key = ?", (run, key)
            ).fetchone()
        return tuple(json.loads(found))

    def once(self, run: str, what: str, digest: str) -> bool:
        """Whether something is asked in a run for the first time, or as it was before."""
        return self.release(run, _ONCE + what, (digest,)) == (digest,)

    def releasing(self) -> list[str]:
        """The runs in which something was released that is remembered."""
        with self._open() as database:
            return [run for (run,) in database.execute("select distinct run from released")]

    def released(self, run: str) -> dict[str, tuple[str, ...]]:
        """All that was released in a run."""
        with self._open() as database:
            rows = database.execute("select key, nodes from released where run = ?", (run,)).fetchall()
        return {key: tuple(json.loads(nodes)) for key, nodes in rows if not key.startswith(_ONCE)}

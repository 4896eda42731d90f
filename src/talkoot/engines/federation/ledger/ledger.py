"""The ledger of a site: what it has disclosed, and what it discloses no more because of that."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

from talkoot.core.errors import Refused
from talkoot.engines.federation.ledger.database import FINAL, transaction
from talkoot.engines.federation.ledger.rows import RowSet

_ONCE = "once "  # before the name of what is answered once in a run, beside the keys of secure sums
_SHORT = 8  # digits of a run


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """What others can read of an answer, as far as something else can be subtracted from it.

    Args:
        run: which it was.
        dataset: of which data set.
        sites: whose sums are added up; none where the answer is no sum.
        masked: whether nothing but the total can be read.
    """

    run: str
    dataset: str
    sites: tuple[str, ...] = ()
    masked: bool = False

    def less(self, other: Sum) -> frozenset[str]:
        """The sites whose sum follows from both; where sums are open, each site's can be read."""
        mine, theirs = frozenset(self.sites), frozenset(other.sites)
        if self.masked and other.masked:
            return mine ^ theirs
        return mine - theirs if self.masked else theirs - mine if other.masked else frozenset()

    def in_words(self) -> str:
        """What can be read, for people."""
        if not self.sites:
            return "a report of this site: columns, counts, means or scores"
        names = ", ".join(self.sites)
        return f"the total of {names}" if self.masked else f"sums of each of {names}"


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """What was disclosed: a sum, of how many rows of this site, and when first, in seconds since 1970."""

    sum: Sum
    rows: int
    at: float


@final
@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger in a site's folder. Any process may read and write it.

    Sums are remembered for good. What is answered for one question alone is remembered as long as its run
    can be answered.
    """

    folder: Path

    def require_sites(self, new: Sum) -> None:
        """Refuse a sum that, with one before, would show those of one site.

        Raises:
            Refused: that names the run and the site.
        """
        with transaction(self.folder) as database:
            _require_sites(database, new)

    def require(self, new: Sum, rows: RowSet, least: int) -> None:
        """Refuse an answer that can be subtracted from one before.

        Args:
            new: what others could read.
            rows: of this site.
            least: how many of them there must be in a difference.

        Raises:
            Refused: the difference would be about one site, or about fewer of this site's rows.
        """
        with transaction(self.folder) as database:
            _is_new(database, new, rows, least)

    def disclose(self, new: Sum, rows: RowSet, least: int, now: float) -> bool:
        """As `require`, then write down what leaves, before it does; whether it was not known."""
        with transaction(self.folder) as database:
            if not _is_new(database, new, rows, least):
                return False
            database.execute(
                "insert or ignore into row_sets values (?, ?, ?, ?, ?)",
                (new.dataset, rows.digest, rows.count, rows.columns, rows.packed),
            )
            row = (new.run, new.dataset, _names(new), int(new.masked), rows.digest, now)
            database.execute("insert into sums values (?, ?, ?, ?, ?, ?)", row)
        return True

    def consent(self, run: str, site: str) -> bool:
        """A site has signed that its part of a run may become known; whether that was not known."""
        with transaction(self.folder) as database:
            return database.execute("insert or ignore into consents values (?, ?)", (run, site)).rowcount == 1

    def consented(self, run: str) -> frozenset[str]:
        """The sites whose part of a run may become known."""
        with transaction(self.folder) as database:
            return _consented(database, run)

    def entries(self) -> list[Entry]:
        """What was disclosed, oldest first."""
        with transaction(self.folder) as database:
            found = database.execute(
                "select run, sums.dataset, sites, masked, count, min(at) from sums "
                "join row_sets on row_sets.dataset = sums.dataset and digest = row_set "
                "group by run, sums.dataset, sites, masked, count order by min(at)"
            ).fetchall()
        return [Entry(_sum(*row[:4]), int(row[4]), float(row[5])) for row in found]

    def release(self, run: str, key: str, nodes: tuple[str, ...]) -> tuple[str, ...]:
        """For which nodes secrets were released under a key; for these, if for none before.

        Raises:
            Refused: the run is over for good.
        """
        with transaction(self.folder) as database:
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
        with transaction(self.folder) as database:
            return [run for (run,) in database.execute("select distinct run from released")]

    def released(self, run: str) -> dict[str, tuple[str, ...]]:
        """All that was released in a run."""
        with transaction(self.folder) as database:
            rows = database.execute("select key, nodes from released where run = ?", (run,)).fetchall()
        return {key: tuple(json.loads(nodes)) for key, nodes in rows if not key.startswith(_ONCE)}


def _sum(run: str, dataset: str, sites: str, masked: int) -> Sum:
    return Sum(run=run, dataset=dataset, sites=tuple(json.loads(sites)), masked=bool(masked))


def _names(of: Sum) -> str:
    return json.dumps(sorted(of.sites))


def _is_new(database: sqlite3.Connection, new: Sum, rows: RowSet, least: int) -> bool:
    """Whether a sum does not stand there; one that does was let through before."""
    query = "select 1 from sums where run = ? and sites = ? and masked = ? and row_set = ?"
    row = (new.run, _names(new), int(new.masked), rows.digest)
    if database.execute(query, row).fetchone() is not None:
        return False
    _require_sites(database, new)
    _require_rows(database, new, rows, least)
    return True


def _consented(database: sqlite3.Connection, run: str) -> frozenset[str]:
    return frozenset(site for (site,) in database.execute("select site from consents where run = ?", (run,)))


def _require_sites(database: sqlite3.Connection, new: Sum) -> None:
    query = "select distinct run, dataset, sites, masked from sums where dataset = ? and run <> ?"
    for row in database.execute(query, (new.dataset, new.run)):
        before = _sum(*row)
        left = new.less(before)
        if len(left) == 1 and not left & (_consented(database, before.run) | _consented(database, new.run)):
            (site,) = left
            raise Refused(
                f"with the sums of the run {before.run[:_SHORT]}, those of this one would show what {site} "
                f"alone has",
                cure="Propose it for the same sites as before, or for sites of which two or more are others; "
                "where a site leaves, fit.forget(site) asks for its consent.",
            )


def _require_rows(database: sqlite3.Connection, new: Sum, rows: RowSet, least: int) -> None:
    for run, before in _row_sets(database, new.dataset):
        if rows.is_near(before, least):
            raise Refused(
                f"fewer than {least} of the rows here are others than in an answer of the run "
                f"{run[:_SHORT]}, so that the difference of both would be about these few",
                cure=f"Have the site answer from the rows that it had then, or wait until {least} or more "
                "are others; where folds are left out, take fewer.",
            )


def _row_sets(database: sqlite3.Connection, dataset: str) -> Iterator[tuple[str, RowSet]]:
    """The rows of all answers about a data set, each with the first run that was answered from them."""
    query = (
        "select run, count, columns, sketch, min(at) from row_sets "
        "join sums on sums.dataset = row_sets.dataset and row_set = digest "
        "where row_sets.dataset = ? group by digest"
    )
    for run, count, columns, packed, _ in database.execute(query, (dataset,)):
        yield run, RowSet.unpacked(count, columns, packed)

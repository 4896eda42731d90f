"""The SQLite file of a site beside its policy: what it has decided, and what it has disclosed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from talkoot.core.errors import DataError

FILE = "consent.sqlite"
FINAL = ("withdrawn", "expired")  # states that no later decision changes
WAIT = 30.0  # seconds for another process to finish its transaction
_TABLES = """
create table if not exists proposals (
    run text primary key, proposal blob, signature blob, certificate blob, seen real
) strict;
create table if not exists decisions (
    number integer primary key, run text, state text, who text, why text, at real
) strict;
create table if not exists rounds (day text, round blob, primary key (day, round)) strict;
create table if not exists released (run text, key text, nodes text, primary key (run, key)) strict;
create table if not exists consents (run text, site text, primary key (run, site)) strict;
create table if not exists row_sets (
    dataset text, digest text, count integer, columns text, sketch blob, primary key (dataset, digest)
) strict;
create table if not exists sums (
    run text, dataset text, sites text, masked integer, row_set text, at real,
    primary key (run, sites, masked, row_set)
) strict;
"""


@contextmanager
def transaction(folder: Path) -> Iterator[sqlite3.Connection]:
    """A transaction; any process may hold one, and they take turns.

    Raises:
        DataError: the disk is full, or the file cannot be read.
    """
    path = folder / FILE
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

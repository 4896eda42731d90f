"""`talkoot site`: a site's folder, and what persons decide there."""

from __future__ import annotations

import argparse
import getpass
import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from talkoot.api.text_table import text_table
from talkoot.cli.parties.provision import DONE, make_request, tell_requests, write_if_new
from talkoot.core.errors import DataError
from talkoot.engines.federation.consent import data_sets, policy
from talkoot.engines.federation.consent.desk import NAMED, Desk
from talkoot.engines.federation.consent.proposal import from_bytes, run_of
from talkoot.engines.federation.identity.identity import Identity

DATA, EXAMPLE = "tumours", "tumours.parquet"  # rows to try it out
POLICY = """\
# What may be proposed to this site at all. It only refuses; "*" stands for all.
# A key that Talkoot does not know refuses everything.
researchers = {researchers}  # names of certificates, such as "ana"
data_sets = {data_sets}
learners = ["*"]          # estimators, such as "LogisticRegression"
purposes = ["*"]
secure_sum = true         # models are learned only from sums that nobody can read site by site
kinds = ["fit", "check"]  # a check sends no sums: it describes columns, and nothing below minimum_rows
automatic = {automatic}  # kinds that no person need approve
minimum_rows = 20
minimum_sites = 3
rounds_a_day = 500
days = 30                 # that a proposal counts
"""


def request(options: argparse.Namespace) -> int:
    """`talkoot site request`."""
    pairs = [text.partition("=") for text in options.data]
    if odd := [name for name, sign, _ in pairs if not sign]:
        raise DataError(f"--data {odd[0]} has no name", cure="Write --data claims=claims.parquet.")
    data = {name: place if "://" in place else str(Path(place).absolute()) for name, _, place in pairs}
    if options.folder and options.names[1:]:
        raise DataError("--folder is for one site", cure="Leave it out: each site has a folder of its name.")
    made = [make_request(options, "site", name) for name in options.names or [None]]
    if not options.renew:
        if options.example:
            _write_example([folder for folder, _ in made])
            data[DATA] = EXAMPLE
        for folder, _ in made:
            _write_settings(folder, data, options)
    tell_requests(made)
    folders = [str(folder) for folder, _ in made]
    print(f"  say in {_each(folders, policy.FILE)} who may ask for what")
    print(f"  say in {_each(folders, data_sets.FILE)} where the rows are")
    print(f"  then start the site      talkoot site run {shlex.join(folders)}")
    return DONE


def _write_settings(folder: Path, data: Mapping[str, str], options: argparse.Namespace) -> None:
    """Where the coordinator and the rows of a site are, and its policy."""
    lines = [f"coordinator = {json.dumps(options.coordinator)}"]
    for name, place in data.items():
        lines += ["", f"[data.{json.dumps(name)}]", f"files = {json.dumps(place)}"]
    write_if_new(folder / data_sets.FILE, "\n".join(lines) + "\n")
    given = {
        "data_sets": [*data],
        "researchers": options.researchers,
        "automatic": options.automatic,
    }
    text = POLICY.format(**{name: json.dumps(value) for name, value in given.items()})
    write_if_new(folder / policy.FILE, text)


def _write_example(folders: Sequence[Path]) -> None:
    """Rows to try it out, dealt out to these sites."""
    from pyarrow import parquet

    from talkoot.demo.sites import tumours

    for folder, table in tumours([str(folder) for folder in folders]).items():
        parquet.write_table(table, Path(folder, EXAMPLE))


def _each(folders: Sequence[str], file: str) -> str:
    """A file in each of these folders."""
    return " and ".join(str(Path(folder, file)) for folder in folders)


def approve(options: argparse.Namespace) -> int:
    """`talkoot site approve`."""
    run = desk_of(options).approve(options.which, getpass.getuser(), options.why)
    print(f"approved     {run[:NAMED]}; it goes on as soon as all sites have approved")
    print(f"\nNext:\n  to take that back         talkoot site withdraw {run[:NAMED]}{where(options)}")
    return DONE


def refuse(options: argparse.Namespace) -> int:
    """`talkoot site refuse`."""
    run = desk_of(options).refuse(options.which, getpass.getuser(), options.why)
    print(f"refused      {run[:NAMED]}; the researcher reads that, and why")
    print(f"\nNext:\n  to approve it after all   talkoot site approve {run[:NAMED]}{where(options)}")
    return DONE


def withdraw(options: argparse.Namespace) -> int:
    """`talkoot site withdraw`."""
    run = desk_of(options).withdraw(options.which, getpass.getuser(), options.why)
    print(f"withdrawn    {run[:NAMED]}; this site answers no more round of it")
    print(
        "\nNext:\n  a model that was learned before still holds this site's part: ask for it to be forgotten"
    )
    return DONE


def list(options: argparse.Namespace) -> int:
    """`talkoot site list`."""
    desk = desk_of(options)
    rows, pending = [], []
    for signed, seen in desk.journal.proposals():
        run, proposal = run_of(signed.proposal), from_bytes(signed.proposal)
        state, reason = desk.decide(signed)
        if state == "pending":
            pending.append(run[:NAMED])
        day = f"{datetime.fromtimestamp(seen):%Y-%m-%d}"
        rows.append([run[:NAMED], day, state, proposal.researcher, proposal.kind, proposal.dataset, reason])
    if not rows:
        print("Nothing was proposed to this site.")
        return DONE
    print(text_table([["run", "since", "state", "by", "to", "data set", "why"], *rows]))
    for run in pending:
        print(f"\nNext:\n  read it                  talkoot plan show {run}{where(options)}")
        print(f"  decide                   talkoot site approve {run}{where(options)}, or refuse")
    return DONE


def ledger(options: argparse.Namespace) -> int:
    """`talkoot site ledger`."""
    entries = desk_of(options).ledger.entries()
    if not entries:
        print("Nothing was disclosed by this site.")
        return DONE
    rows = []
    for each in entries:
        day, run = f"{datetime.fromtimestamp(each.at):%Y-%m-%d}", each.sum.run[:NAMED]
        rows.append([day, run, each.sum.dataset, str(each.rows), each.sum.in_words()])
    print(text_table([["since", "run", "data set", "rows", "what others can read"], *rows], right=[3]))
    print(
        "\nNo answer leaves from which one of these could be subtracted to find fewer rows than minimum_rows"
        "\nin policy.toml, or what one site alone has."
    )
    return DONE


def where(options: argparse.Namespace) -> str:
    """The option that names the folder, for the next command; nothing where that is this folder."""
    return "" if options.folder == "." else f" --folder {shlex.quote(options.folder)}"


def desk_of(options: argparse.Namespace) -> Desk:
    """The desk of the site in --folder."""
    folder = Path(options.folder)
    identity = Identity.load(folder)
    identity.require_role("site")
    return Desk(identity, data_sets.registered(folder))

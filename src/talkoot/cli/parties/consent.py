"""`talkoot plan show` and `talkoot evidence`: what would leave, and what left."""

from __future__ import annotations

import argparse
import base64
from pathlib import Path

from talkoot.api.evidence.coordinator import coordinator_evidence
from talkoot.api.evidence.site import site_evidence
from talkoot.cli.parties.provision import DONE, LEFT
from talkoot.cli.parties.site import desk_of, where
from talkoot.core.errors import DataError, Refused
from talkoot.engines.federation.audit import AuditLog
from talkoot.engines.federation.consent.content import content_of
from talkoot.engines.federation.consent.desk import NAMED
from talkoot.engines.federation.consent.proposal import Proposal, from_bytes, run_of
from talkoot.engines.federation.consent.trial import explain_at
from talkoot.engines.federation.consent.words import outline, to_text
from talkoot.engines.federation.identity.identity import Identity
from talkoot.watch.page import write_page


def show(options: argparse.Namespace) -> int:
    """`talkoot plan show`."""
    desk = desk_of(options)
    signed = desk.find(options.which)
    print(to_text(explain_at(desk, from_bytes(signed.proposal))))
    run, (state, reason) = run_of(signed.proposal)[:NAMED], desk.decide(signed)
    print(f"\nHere it is {state}{f': {reason}' if reason else ''}.")
    if state == "pending":
        print(f"\nNext:\n  talkoot site approve {run}{where(options)}, or refuse")
    return DONE


def evidence(options: argparse.Namespace) -> int:
    """`talkoot evidence`."""
    party = Identity.load(Path(options.folder))
    run, text = (_carried if party.role == "coordinator" else _left)(party, options)
    print(write_page(text, Path(options.out or f"evidence-{run[:NAMED]}.html"), "the evidence"))
    try:
        AuditLog(party.folder).verify()
    except DataError as error:
        print(error)
        return LEFT
    return DONE


def _left(party: Identity, options: argparse.Namespace) -> tuple[str, str]:
    """The run, and what left a site of it."""
    desk = desk_of(options)
    signed = desk.find(options.which)
    run, parts = run_of(signed.proposal), explain_at(desk, from_bytes(signed.proposal))
    return run, site_evidence(party.name, run, desk.audit, parts)


def _carried(party: Identity, options: argparse.Namespace) -> tuple[str, str]:
    """The run, and what went through a coordinator of it."""
    log = AuditLog(party.folder)
    run, proposal = _proposed(log, options.which)
    try:
        content = content_of(proposal, {})
    except Refused:
        content = None
    return run, coordinator_evidence(party.name, run, [*proposal.roster], log, outline(proposal, content))


def _proposed(log: AuditLog, which: str) -> tuple[str, Proposal]:
    """The run whose name begins so, as a coordinator has written it down.

    Raises:
        DataError: there is none, there are several, or the digits are too few.
    """
    if len(which) < NAMED:
        raise DataError(f"{which!r:.80} is too short", cure=f"Give the first {NAMED} digits, or more.")
    proposed = [entry for entry in log.entries() if entry.event == "proposed"]
    found = {
        str(entry.facts["run"]): entry for entry in proposed if str(entry.facts["run"]).startswith(which)
    }
    if len(found) != 1:
        what = "several proposals begin" if found else "no proposal begins"
        runs = dict.fromkeys(str(entry.facts["run"])[:NAMED] for entry in proposed)
        raise DataError(
            f"{what} with {which!r:.80} in {log.path}", cure=f"There are: {', '.join(runs) or 'none'}."
        )
    ((run, entry),) = found.items()
    return run, from_bytes(base64.b64decode(str(entry.facts["proposal"])))

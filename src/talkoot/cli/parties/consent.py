"""`talkoot plan show` and `talkoot evidence`: what would leave, and what left."""

from __future__ import annotations

import argparse
from pathlib import Path

from talkoot.api.evidence import evidence as write_evidence
from talkoot.cli.parties.provision import DONE, LEFT
from talkoot.cli.parties.site import desk_of, where
from talkoot.core.errors import DataError
from talkoot.engines.federation.consent.desk import NAMED
from talkoot.engines.federation.consent.proposal import from_bytes, run_of
from talkoot.engines.federation.consent.trial import explain_at
from talkoot.engines.federation.consent.words import to_text


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
    desk = desk_of(options)
    signed = desk.find(options.which)
    run = run_of(signed.proposal)
    path = Path(options.out or f"evidence-{run[:NAMED]}.html")
    parts = explain_at(desk, from_bytes(signed.proposal))
    print(write_evidence(desk.identity.name, run, desk.audit, parts, path))
    try:
        desk.audit.verify()
    except DataError as error:
        print(error)
        return LEFT
    return DONE

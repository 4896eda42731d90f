"""Hold every cell of the matrix and print the table of benchmarks/results/faults.md; needs root.

PYTHONPATH=src:tests:tests/engines/federation python tests/engines/federation/faults/table.py > FILE
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from cells import DEADLINE, FAULTS, MOMENTS, Cell, Outcome, cells, outcome
from disturbed import LEASE
from stage import OFF, stage

HEAD = f"""\
# Faults

A coordinator and four sites, real processes, each in a network of its own with a disk of its own; one fault
in one phase of a run of four rounds, at a moment that is drawn by the cell's name: before anybody works in
this phase, or once the party has its answer and another site has not. Sums are `[fixed(), mask()]`, but for
the two columns "plain". A round goes on without a site after {DEADLINE:g} s, and needs three of four;
connections are given up after {LEASE:g} s in place of 20; a clock that is off is off by {OFF:g} s. Written by
`tests/engines/federation/faults/table.py`; the tests beside it hold the same cells.

Every answer below equals the one that follows from the rounds that counted, to the last bit, and whoever was
gone is there in the last round.

| cell | what came of it |
|---|---|
| = | the answer of an undisturbed run |
| -n | n rounds counted without the site |
| +n | n rounds did not count, and those behind them did |
| ! | a named error; the same call, made again, went on to the right answer |

"""


def shown(found: Outcome) -> str:
    """A cell of the table."""
    signs = [
        "!" * len(found.errors),
        f"-{found.missed}" * (found.missed > 0),
        f"+{found.again}" * (found.again > 0),
    ]
    return " ".join(filter(None, signs)) or "="


def table(found: dict[Cell, Outcome]) -> Iterable[str]:
    """The lines of the table, and the errors behind it."""
    yield HEAD + " | ".join(["| fault", "of the", *MOMENTS]) + " |"
    yield "|---" * (2 + len(MOMENTS)) + "|"
    for fault in FAULTS:
        for party in ("coordinator", "site"):
            row = [shown(found[Cell(fault, party, moment)]) for moment in MOMENTS]
            yield " | ".join([f"| {fault}", party, *row]) + " |"
    errors = {
        re.sub(r"entry \w+|'\w+'|198[\d.:]+|[\w/]*/", "...", e)
        for each in found.values()
        for e in each.errors
    }
    if errors:
        yield "\nThe errors, without names and addresses:\n"
        yield from (f"- {error}" for error in sorted(errors))


def main() -> None:
    """Hold the cells, those of each fault in a federation of their own."""
    found = dict[Cell, Outcome]()
    for fault in FAULTS:
        with tempfile.TemporaryDirectory() as folder, stage(Path(folder)) as made:
            for cell in cells(fault):
                found[cell] = outcome(made, cell)
                print(cell, shown(found[cell]), *found[cell].errors, file=sys.stderr, flush=True)
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()

"""All checks of what the nodes said, as one contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from talkoot.core.errors import DataError
from talkoot.data.contract.checks import schema as columnwise
from talkoot.data.contract.checks import shifts
from talkoot.data.contract.checks.duplicates import duplicates
from talkoot.data.contract.contract import ORDER, Contract, Finding
from talkoot.data.contract.profile import STEP
from talkoot.data.contract.views import Said, said


def examine(
    told: Mapping[str, Mapping[str, np.ndarray]],
    nodes: Sequence[str],
    *,
    target: str,
    keys: tuple[str, ...] = (),
) -> Contract:
    """What the nodes' profiles say when they are held against each other.

    Args:
        told: the leaves of each node that has rows.
        nodes: all nodes, in their order.
        target: what to call the target.
        keys: the columns that tell rows apart; they are not compared otherwise.

    Raises:
        DataError: no node has any rows.
    """
    known = {node: said(leaves) for node, leaves in told.items()}
    if not known:
        raise DataError("no node has any rows", step=STEP, cure="Look at the paths and filters of the data.")
    columns = {
        name: {node: here.columns[name] for node, here in known.items() if name in here.columns}
        for name in dict.fromkeys(name for here in known.values() for name in here.columns)
        if name not in keys
    }
    found = [
        *_rows(known, nodes),
        *columnwise.names(known),
        *columnwise.kinds(columns),
        *columnwise.left_out(known),
    ]
    tests = (len(columns) + 1) * len(known) * 4  # missing values, codes, categories, distribution
    for name, views in columnwise.comparable(columns).items():
        found += shifts.column(name, views, tests)
    labels = {node: here.target for node, here in known.items() if here.target is not None}
    found += [*shifts.labels(target, labels, shifts.ALPHA / tests), *duplicates(known, keys)]
    place = {node: i for i, node in enumerate(nodes)}
    found.sort(key=lambda f: (ORDER.index(f.severity), place.get(f.node or "", -1), f.kind, -f.size))
    rows = {node: known[node].rows if node in known else 0 for node in nodes}
    return Contract(nodes=rows, columns=len(columns), findings=tuple(found))


def _rows(known: Mapping[str, Said], nodes: Sequence[str]) -> Iterator[Finding]:
    for node in [node for node in nodes if node not in known]:
        cure = "It takes part and brings nothing; look whether that is meant."
        yield Finding(severity="note", kind="rows", node=node, what="has no rows", cure=cure)
    if len(nodes) == 1:
        cure = "Give a dict of nodes, or name the column that tells them with by=."
        yield Finding(
            severity="note", kind="rows", what="there is one node, nothing to compare it with", cure=cure
        )

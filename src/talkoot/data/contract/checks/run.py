"""All checks of the nodes' reports, as one contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from talkoot.core.errors import DataError
from talkoot.core.query import Answer
from talkoot.data.contract.checks import schema, shifts
from talkoot.data.contract.checks.duplicates import Shared, duplicates
from talkoot.data.contract.contract import SEVERITIES, Contract, Finding
from talkoot.data.contract.node_profile import NodeProfile, node_profile
from talkoot.data.contract.profile import STEP


def examine(
    reports: Mapping[str, Answer],
    nodes: Sequence[str],
    *,
    target: str,
    keys: tuple[str, ...] = (),
    counted: Shared | None = None,
) -> Contract:
    """Compare the reports of the nodes that have rows; `nodes` are all, in their order.

    `keys` are columns that identify a row; they are compared for duplicates only. `counted` is how many rows
    pairs of sites share, where these belong to other organisations.

    Raises:
        DataError: no node has any rows.
    """
    known = {node: node_profile(leaves) for node, leaves in reports.items()}
    if not known:
        raise DataError("no node has any rows", step=STEP, cure="Look at the paths and filters of the data.")
    columns = {
        name: {node: here.columns[name] for node, here in known.items() if name in here.columns}
        for name in dict.fromkeys(name for here in known.values() for name in here.columns)
        if name not in keys
    }
    found = [*_rows(known, nodes), *schema.names(known), *schema.kinds(columns), *schema.left_out(known)]
    tests = (len(columns) + 1) * len(known) * 4  # missing values, codes, categories, distribution
    for name, profiles in schema.comparable(columns).items():
        found += shifts.column(name, profiles, tests)
    labels = {node: here.target for node, here in known.items() if here.target is not None}
    found += [*shifts.labels(target, labels, shifts.ALPHA / tests), *duplicates(known, keys, counted)]
    place = {node: i for i, node in enumerate(nodes)}
    found.sort(key=lambda f: (SEVERITIES.index(f.severity), place.get(f.node or "", -1), f.kind, -f.size))
    rows = {node: known[node].rows if node in known else 0 for node in nodes}
    return Contract(nodes=rows, columns=len(columns), findings=tuple(found))


def _rows(known: Mapping[str, NodeProfile], nodes: Sequence[str]) -> Iterator[Finding]:
    for node in [node for node in nodes if node not in known]:
        cure = "It adds nothing to the model; check whether that is intended."
        yield Finding(severity="note", kind="rows", node=node, what="has no rows", cure=cure)
    if len(nodes) == 1:
        cure = "Give a dict of nodes, or name the column that holds their names with by=."
        yield Finding(
            severity="note", kind="rows", what="there is one node, nothing to compare it with", cure=cure
        )

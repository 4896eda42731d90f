"""Checks of rows that two nodes both have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from talkoot.data.contract.contract import Finding
from talkoot.data.contract.hashing import Hashes
from talkoot.data.contract.node_profile import NodeProfile
from talkoot.data.contract.shared_rows import MAX_REPEATED

Shared = Mapping[tuple[str, str], int]
MIN_SHARED = 3  # shared rows from which there is a warning
MIN_SHARE = 0.01  # of the smaller node's rows, from which there is a warning


def duplicates(
    nodes: Mapping[str, NodeProfile], keys: tuple[str, ...], counted: Shared | None = None
) -> Iterator[Finding]:
    """Rows, or keys, that occur at two nodes, and keys that occur twice at one.

    Args:
        nodes: the nodes' reports.
        keys: columns that identify a row.
        counted: what sites of other organisations have counted among themselves; see `shared_rows`.
    """
    if counted is not None:
        yield from _counted(nodes, counted)
        return
    repeated = {node: 1 - len(own.hashes) / max(1, own.repeats.sum()) for node, own in nodes.items()}
    if keys:
        yield from _repeated(nodes, keys)
    elif max(repeated.values()) > MAX_REPEATED:
        node = max(repeated, key=repeated.__getitem__)
        yield Finding(
            severity="note",
            kind="duplicates",
            node=node,
            what=f"{repeated[node]:.0%} of the rows equal another row of the same node, so equal rows at two "
            "nodes were not looked for",
            cure="To look for shared rows, name the columns that identify a row with keys=.",
        )
        return
    thing = f"value(s) of {' and '.join(keys)}" if keys else "row(s)"
    for a, b in combinations(nodes, 2):
        shared = _hashes(nodes[a]).shared(_hashes(nodes[b]))
        if shared:
            yield _finding(nodes, (a, b), shared, thing, bool(keys))


def _finding(
    nodes: Mapping[str, NodeProfile], pair: tuple[str, str], shared: float, thing: str, always: bool
) -> Finding:
    """Rows that a pair of nodes shares, at the smaller one."""
    small = min(pair, key=lambda node: nodes[node].rows)
    (other,) = (node for node in pair if node != small)
    part = shared / nodes[small].rows
    many = always or (part >= MIN_SHARE and shared >= MIN_SHARED)
    return Finding(
        severity="warning" if many else "note",
        kind="duplicates",
        node=small,
        what=f"{max(1, round(shared))} {thing} ({part:.1%}) also occur at {other}",
        cure="They count twice in training, and leak between nodes in tests: keep them at one node.",
        size=part,
    )


def _counted(nodes: Mapping[str, NodeProfile], counted: Shared) -> Iterator[Finding]:
    """What sites have counted: many rows, or why not."""
    for (a, b), shared in counted.items():
        if shared > 0:
            yield _finding(nodes, (a, b), shared, "row(s)", False)
        elif shared < 0:
            yield Finding(
                severity="note",
                kind="duplicates",
                node=b,
                what=f"rows that {a} has too were not looked for, as many rows of one of both equal others "
                "of its own",
                cure="Have the two sites compare identifiers among themselves, where they may.",
            )


def _hashes(profile: NodeProfile) -> Hashes:
    return Hashes(profile.hashes, whole=bool(profile.repeats.sum() == profile.rows))


def _repeated(nodes: Mapping[str, NodeProfile], keys: tuple[str, ...]) -> Iterator[Finding]:
    for node, profile in nodes.items():
        twice = int((profile.repeats > 1).sum())
        if twice:
            yield Finding(
                severity="warning",
                kind="keys",
                node=node,
                what=f"{twice} value(s) of {' and '.join(keys)} occur more than once",
                cure="Check whether rows were entered twice.",
                size=twice / profile.rows,
            )

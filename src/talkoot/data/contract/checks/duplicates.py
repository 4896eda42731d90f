"""Checks of rows that two nodes both have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np

from talkoot.data.contract.contract import Finding
from talkoot.data.contract.node_profile import NodeProfile

MIN_SHARED = 3  # shared rows from which there is a warning
MIN_SHARE = 0.01  # of the smaller node's rows, from which there is a warning
MAX_REPEATED = 0.05  # share of repeated rows within a node above which equal rows mean nothing


def duplicates(nodes: Mapping[str, NodeProfile], keys: tuple[str, ...]) -> Iterator[Finding]:
    """Rows, or keys, that occur at two nodes, and keys that occur twice at one."""
    if any(profile.least > 1 for profile in nodes.values()):
        yield Finding(
            severity="note",
            kind="duplicates",
            what="rows that two sites both have were not looked for: sites of other organisations send "
            "nothing that a single row could be recognised by",
            cure="Have the sites compare identifiers among themselves, where they may.",
        )
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
        shared = overlap(nodes[a], nodes[b])
        small = min((a, b), key=lambda node: nodes[node].rows)
        part = shared / nodes[small].rows
        if not shared:
            continue
        many = keys or (part >= MIN_SHARE and shared >= MIN_SHARED)
        yield Finding(
            severity="warning" if many else "note",
            kind="duplicates",
            node=small,
            what=f"{max(1, round(shared))} {thing} ({part:.1%}) also occur at {a if small == b else b}",
            cure="They count twice in training, and leak between nodes in tests: keep them at one node.",
            size=part,
        )


def overlap(a: NodeProfile, b: NodeProfile) -> float:
    """The number of distinct rows that two nodes share; an estimate where they sent a sample."""
    low = min(_last(a), _last(b))  # up to here both have sent all hashes
    ours, theirs = (profile.hashes[profile.hashes <= low] for profile in (a, b))
    shared = len(np.intersect1d(ours, theirs, assume_unique=True))
    share = float(low) / float(np.iinfo(np.uint64).max)
    return shared / share if share < 1 else shared


def _last(profile: NodeProfile) -> np.uint64:
    full = profile.repeats.sum() == profile.rows
    return np.uint64(np.iinfo(np.uint64).max) if full else profile.hashes[-1]


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

"""Checks of rows that two nodes both have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np

from talkoot.data.contract.contract import Finding
from talkoot.data.contract.views import Said

FEW = 3  # shared rows below which they are no warning
OFTEN = 0.01  # share of the smaller node's rows from which shared ones are a warning
COMMON = 0.05  # share of rows that repeat within a node from which equal rows say nothing


def duplicates(nodes: Mapping[str, Said], keys: tuple[str, ...]) -> Iterator[Finding]:
    """Rows, or keys, that occur at two nodes, and keys that occur twice at one."""
    repeated = {node: 1 - len(said.hashes) / max(1, said.repeats.sum()) for node, said in nodes.items()}
    if keys:
        yield from _repeated(nodes, keys)
    elif max(repeated.values()) > COMMON:
        node = max(repeated, key=repeated.__getitem__)
        yield Finding(
            severity="note",
            kind="duplicates",
            node=node,
            what=f"{repeated[node]:.0%} of the rows equal another row of the same node, so equal rows at two "
            "nodes were not looked for",
            cure="Name columns that tell rows apart with keys= to look for shared ones.",
        )
        return
    thing = f"value(s) of {' and '.join(keys)}" if keys else "row(s)"
    for a, b in combinations(nodes, 2):
        shared = overlap(nodes[a], nodes[b])
        small = min((a, b), key=lambda node: nodes[node].rows)
        part = shared / nodes[small].rows
        if not shared:
            continue
        many = keys or (part >= OFTEN and shared >= FEW)
        yield Finding(
            severity="warning" if many else "note",
            kind="duplicates",
            node=small,
            what=f"{max(1, round(shared))} {thing} ({part:.1%}) also occur at {a if small == b else b}",
            cure="They count twice in training, and leak between nodes in tests: keep them at one node.",
            size=part,
        )


def overlap(a: Said, b: Said) -> float:
    """The number of distinct rows that two nodes share; an estimate where they told a sample."""
    low = min(_last(a), _last(b))  # below it both told all
    ours, theirs = (said.hashes[said.hashes <= low] for said in (a, b))
    shared = len(np.intersect1d(ours, theirs, assume_unique=True))
    told = float(low) / float(np.iinfo(np.uint64).max)
    return shared / told if told < 1 else shared


def _last(said: Said) -> np.uint64:
    full = said.repeats.sum() == said.rows
    return np.uint64(np.iinfo(np.uint64).max) if full else said.hashes[-1]


def _repeated(nodes: Mapping[str, Said], keys: tuple[str, ...]) -> Iterator[Finding]:
    for node, said in nodes.items():
        twice = int((said.repeats > 1).sum())
        if twice:
            yield Finding(
                severity="warning",
                kind="keys",
                node=node,
                what=f"{twice} value(s) of {' and '.join(keys)} occur more than once",
                cure="Look whether rows were entered twice.",
                size=twice / said.rows,
            )

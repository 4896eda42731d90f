"""Checks of names and kinds of columns: what would make round 0 fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from talkoot.data.columns import EMPTY, NUMBER, TEXT, USABLE
from talkoot.data.contract import Finding, percent
from talkoot.data.views import Said, View

Columns = dict[str, dict[str, View]]  # column -> node -> what it is there


def names(nodes: Mapping[str, Said]) -> Iterator[Finding]:
    """Columns that some nodes lack, and nodes without names or without a target."""
    held = Counter(name for said in nodes.values() for name in said.columns)
    for name, count in held.items():
        if count == len(nodes):
            continue
        here = [node for node, said in nodes.items() if name in said.columns]
        rare = count <= len(nodes) / 2
        for node in here if rare else [node for node in nodes if node not in here]:
            what = "has a column that others lack" if rare else "lacks a column that others have"
            cure = "Rename it, add it, or name the columns that all nodes have with columns=."
            yield Finding(severity="error", kind="schema", node=node, column=name, what=what, cure=cure)
    if len({said.named for said in nodes.values()}) > 1:
        for node in [node for node, said in nodes.items() if not said.named]:
            cure = "Give a table with the names that the others use."
            yield Finding(
                severity="error", kind="schema", node=node, what="columns have no names here", cure=cure
            )
    if len({said.has_target for said in nodes.values()}) > 1:
        for node in [node for node, said in nodes.items() if not said.has_target]:
            cure = "Add it, or leave the node out."
            yield Finding(
                severity="error", kind="schema", node=node, what="there is no target here", cure=cure
            )


def kinds(columns: Columns) -> Iterator[Finding]:
    """Text in columns that hold numbers elsewhere, and types that learners cannot read."""
    for name, views in columns.items():
        for node, view in views.items():
            if view.kind not in USABLE:
                yield Finding(
                    severity="error",
                    kind="type",
                    node=node,
                    column=name,
                    what=f"holds {view.kind}, which learners cannot read",
                    cure="Turn it into numbers or text, or leave it out with columns=.",
                )
        if any(view.kind == NUMBER for view in views.values()):
            for node, view in views.items():
                if view.kind == TEXT:
                    yield _text(name, node, view)


def _text(name: str, node: str, view: View) -> Finding:
    strays = view.as_number().strays
    share = sum(strays.values()) / view.rows
    shown = ", ".join(repr(text) for text in list(strays)[:3])
    if not strays:
        what, cure = "holds numbers written as text", "Read the column as numbers."
    elif len(strays) <= 3 and share < 1:
        what = f"{shown} stands in {percent(share)} of the rows, and numbers elsewhere"
        sign = next(iter(strays))
        cure = f"If {sign!r} means missing, read it so: pandas.read_csv(..., na_values={sign!r})."
    else:
        what = f"holds text, such as {shown}, where other nodes hold numbers"
        cure = "Code the column alike at all nodes."
    return Finding(severity="error", kind="text", node=node, column=name, what=what, cure=cure, size=share)


def comparable(columns: Columns) -> Columns:
    """Columns as they can be compared: text read as numbers where others have numbers."""
    found: Columns = {}
    for name, views in columns.items():
        usable = {node: view for node, view in views.items() if view.kind in USABLE and view.rows}
        numeric = any(view.kind == NUMBER and view.known for view in usable.values())
        if numeric:
            read = {k: v.as_number() if v.kind == TEXT else v for k, v in usable.items()}
            usable = {k: v for k, v in read.items() if v.known or usable[k].kind != TEXT}
        kind = NUMBER if numeric else TEXT
        if usable:
            found[name] = {k: replace(v, kind=kind) if v.kind == EMPTY else v for k, v in usable.items()}
    return found

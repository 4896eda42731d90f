"""Checks of the names and kinds of columns: differences that make round 0 fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from talkoot.data.contract.contract import Finding, Severity, percent
from talkoot.data.contract.node_profile import ColumnProfile, NodeProfile
from talkoot.data.tables.columns import EMPTY, NUMBER, TEXT, USABLE

MAX_STRAYS = 3  # distinct texts among numbers that may mean "missing"
Columns = dict[str, dict[str, ColumnProfile]]  # by column and node


def names(nodes: Mapping[str, NodeProfile]) -> Iterator[Finding]:
    """Columns that some nodes lack, and nodes without names or without a target."""
    held = Counter(name for profile in nodes.values() for name in profile.columns)
    for name, count in held.items():
        if count == len(nodes):
            continue
        here = [node for node, profile in nodes.items() if name in profile.columns]
        rare = count <= len(nodes) / 2
        for node in here if rare else [node for node in nodes if node not in here]:
            what = "has a column that others lack" if rare else "lacks a column that others have"
            cure = "Rename it, add it, or name the columns that all nodes have with columns=."
            yield Finding(severity="error", kind="schema", node=node, column=name, what=what, cure=cure)
    named = {node: profile.named for node, profile in nodes.items()}
    target = {node: profile.has_target for node, profile in nodes.items()}
    table = "Give a table with the names that the others use."
    for has, what, cure in (
        (named, "columns have no names here", table),
        (target, "there is no target here", "Add it, or leave the node out."),
    ):
        for node in [node for node in nodes if any(has.values()) and not has[node]]:
            yield Finding(severity="error", kind="schema", node=node, what=what, cure=cure)


def kinds(columns: Columns) -> Iterator[Finding]:
    """Text in columns that hold numbers elsewhere, and types that learners cannot read."""
    for name, profiles in columns.items():
        for node, profile in profiles.items():
            if profile.kind not in USABLE:
                yield Finding(
                    severity="error",
                    kind="type",
                    node=node,
                    column=name,
                    what=f"holds {profile.kind}, which learners cannot read",
                    cure="Turn it into numbers or text, or leave it out with columns=.",
                )
        number = any(profile.kind == NUMBER for profile in profiles.values())
        for node, profile in profiles.items():
            if profile.kind == TEXT and number:
                yield _text(name, node, profile)
            elif profile.kind == TEXT and (found := _among(name, node, profile)):
                yield found


def _text(name: str, node: str, profile: ColumnProfile) -> Finding:
    strays = profile.as_number().strays
    if profile.least > 1:
        return _hidden_text(name, node, profile, strays, "error")
    share = sum(strays.values()) / profile.rows
    where = _where(profile)
    shown = ", ".join(repr(text) for text in list(strays)[:3])
    if not strays:
        what, cure = "holds numbers written as text", "Read the column as numbers."
    elif len(strays) <= MAX_STRAYS and share < 1:
        what = f"{shown} stands in {percent(share)} of the rows{where}, and numbers elsewhere"
        cure = _declare(list(strays))
    else:
        what = f"holds text, such as {shown}{where}, where other nodes hold numbers"
        cure = "Code the column alike at all nodes."
    return Finding(severity="error", kind="text", node=node, column=name, what=what, cure=cure, size=share)


def _among(name: str, node: str, profile: ColumnProfile) -> Finding | None:
    """A few texts in a column of numbers that is text at every node."""
    strays = profile.as_number().strays
    if profile.least > 1:
        level: Severity = "warning" if profile.stray_rows else "note"
        return None if profile.grid is None else _hidden_text(name, node, profile, strays, level)
    share = sum(strays.values()) / profile.known if profile.known else 1.0
    if not strays or len(strays) > MAX_STRAYS or share >= 0.5:
        return None
    shown = ", ".join(map(repr, strays))
    stands = f"{shown} stands in {percent(share)} of the rows{_where(profile)}"
    what, cure = f"{stands}, among numbers, so the column is text", _declare(list(strays))
    return Finding(severity="warning", kind="text", node=node, column=name, what=what, cure=cure, size=share)


def _hidden_text(
    name: str, node: str, profile: ColumnProfile, strays: Mapping[str, int], severity: Severity
) -> Finding:
    """Text among numbers where thresholds hide it; texts that enough rows have are shown."""
    rows = f"{profile.stray_rows} rows" if profile.stray_rows else f"fewer than {profile.least} rows"
    shown = ", ".join(map(repr, list(strays)[:MAX_STRAYS]))
    return Finding(
        severity=severity,
        kind="text",
        node=node,
        column=name,
        what=f"{rows} hold text{f', such as {shown},' if shown else ''} in a column of numbers",
        cure="Have the site look for it. What stands for a missing value is named with tk.fix(...), or in "
        "its site.toml.",
        size=profile.stray_rows / profile.rows,
    )


def _where(profile: ColumnProfile) -> str:
    return f", first in {profile.place}" if profile.place else ""


def _declare(strays: list[str]) -> str:
    """The cure that declares texts missing."""
    shown = ", ".join(map(repr, strays))
    return f"If {shown} means missing, say missing=[{shown}]."


def left_out(nodes: Mapping[str, NodeProfile]) -> Iterator[Finding]:
    """Columns that are not features because they only name or number the rows."""
    for node, profile in nodes.items():
        for name, why in profile.left_out.items():
            yield Finding(
                severity="note",
                kind="index",
                node=node,
                column=name,
                what=f"{why}, so it is left out",
                cure="To learn from it, name the features with columns=.",
            )


def comparable(columns: Columns) -> Columns:
    """Columns for the comparison: text is read as numbers where other nodes have numbers."""
    found: Columns = {}
    for name, profiles in columns.items():
        usable = {
            node: profile for node, profile in profiles.items() if profile.kind in USABLE and profile.rows
        }
        numeric = any(profile.kind == NUMBER and profile.known for profile in usable.values())
        if numeric:
            read = {k: v.as_number() if v.kind == TEXT else v for k, v in usable.items()}
            usable = {k: v for k, v in read.items() if v.known or usable[k].kind != TEXT}
        kind = NUMBER if numeric else TEXT
        if usable:
            found[name] = {k: replace(v, kind=kind) if v.kind == EMPTY else v for k, v in usable.items()}
    return found

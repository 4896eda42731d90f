"""What a check of the nodes' data found."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

Severity = Literal["error", "warning", "note"]
ORDER = ("error", "warning", "note")
SHOWN = 8  # columns of one line before "and ... more"
LINES = 12  # findings of one kind before "and ... more"
TOGETHER = 3  # findings of one kind at one node from which their columns are told in one line

# Kinds in the order in which they are told, with a heading, and how to print the size of many together.
KINDS = {
    "rows": ("rows", ""),
    "schema": ("columns that nodes do not share", ""),
    "type": ("columns that learners cannot read", ""),
    "text": ("text among numbers", "{}"),
    "index": ("columns left out", ""),
    "units": ("other units", ""),
    "constant": ("one value only here (and the share of other values elsewhere)", "{}"),
    "code": ("codes for missing values", "{}"),
    "infinite": ("infinite values", ""),
    "missing": ("missing values", ""),
    "spelling": ("categories spelt in two ways", ""),
    "category": ("values that only one node has", "{}"),
    "labels": ("labels", ""),
    "shift": ("distributed differently than at the other nodes (population stability index)", "{:.2f}"),
    "duplicates": ("rows at two nodes", ""),
    "keys": ("repeated keys", ""),
}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One way in which nodes do not agree.

    Args:
        severity: "error": training fails, or reads one thing as another; "warning": it will suffer, or
            something was probably recorded differently; "note": worth knowing.
        kind: "schema", "text", "type", "index", "units", "category", "spelling", "missing", "constant",
            "code", "infinite", "labels", "shift", "duplicates", "keys" or "rows".
        what: what was found, in a sentence.
        cure: what to do about it.
        node: where, if at one node.
        column: in which column, if in one.
        size: how strong it is: a share of rows, or a population stability index.
    """

    severity: Severity
    kind: str
    what: str
    cure: str
    node: str | None = None
    column: str | None = None
    size: float = 0.0

    @property
    def place(self) -> str:
        """The node and the column, as far as the finding is about one."""
        return ", ".join(part for part in (self.node, self.column) if part is not None)

    def __str__(self) -> str:
        return f"{self.place}: {self.what}. {self.cure}" if self.place else f"{self.what}. {self.cure}"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """Whether the nodes' data agree; what `check` returns.

    Args:
        nodes: rows of each node.
        columns: number of feature columns that were compared.
        findings: what was found, errors first.

    >>> print(Contract(nodes={"a": 10, "b": 20}, columns=3))
    2 nodes agree: nothing found in 3 columns of 30 rows (a 10, b 20)
    """

    nodes: Mapping[str, int]
    columns: int
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was found that makes training fail or reads one thing as another."""
        return not any(finding.severity == "error" for finding in self.findings)

    def __str__(self) -> str:
        count = {level: sum(f.severity == level for f in self.findings) for level in ORDER}
        told = ", ".join(f"{n} {level}{'s' * (n != 1)}" for level, n in count.items() if n)
        rows = ", ".join(f"{node} {rows}" for node, rows in list(self.nodes.items())[:SHOWN])
        more = f", and {len(self.nodes) - SHOWN} more" if len(self.nodes) > SHOWN else ""
        nodes = f"{len(self.nodes)} node{'s' * (len(self.nodes) != 1)}"
        head = f"{nodes} agree: nothing" if not told else f"{nodes}: {told}"
        lines = [f"{head} found in {self.columns} columns of {sum(self.nodes.values())} rows ({rows}{more})"]
        for level in ORDER:
            for kind, (heading, _) in KINDS.items():
                alike = [f for f in self.findings if (f.severity, f.kind) == (level, kind)]
                if alike:
                    lines += ["", *_wrapped(f"{level}: {heading}. {_cures(alike)}", "", "")]
                    told_of = list(_told(kind, alike))
                    hidden = len(told_of) - LINES
                    told_of[LINES:] = [f"and {hidden} more, in .findings"] * (hidden > 0)
                    for text in told_of:
                        lines += _wrapped(text, "  - ", "    ")
        return "\n".join(lines)

    def facts(self) -> dict[str, Any]:
        """What a report shows."""
        rows = [
            {"level": f.severity, "node": f.node, "column": f.column, "text": f"{f.what}. {f.cure}"}
            for f in self.findings
        ]
        return {"ok": self.ok, "findings": rows}


def percent(share: float) -> str:
    """A share as a whole percentage that does not round something to nothing.

    >>> percent(0.003), percent(0.997), percent(1.0)
    ('<1%', '>99%', '100%')
    """
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"


def _wrapped(text: str, first: str, others: str) -> list[str]:
    return textwrap.wrap(text, 108, initial_indent=first, subsequent_indent=others)


def _cures(alike: Sequence[Finding]) -> str:
    return " ".join(list(dict.fromkeys(f.cure for f in alike))[:2])


def _told(kind: str, alike: Sequence[Finding]) -> Iterator[str]:
    """Findings of a kind as lines; many at one node as one."""
    size = KINDS[kind][1]
    for node in dict.fromkeys(f.node for f in alike):
        here = sorted((f for f in alike if f.node == node), key=lambda f: -f.size)
        if len(here) >= (TOGETHER if size == "{}" else 1) and size:
            shown = [
                f"{f.column} {size.format(f.size if ':' in size else percent(f.size))}" for f in here[:SHOWN]
            ]
            more = f" and {len(here) - SHOWN} more" if len(here) > SHOWN else ""
            yield f"{node}: {', '.join(shown)}{more}"
        else:
            yield from (f"{f.place}: {f.what}" if f.place else f.what for f in here)

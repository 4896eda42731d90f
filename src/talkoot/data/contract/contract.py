"""The result of a check of the nodes' data."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

Severity = Literal["error", "warning", "note"]
SEVERITIES = ("error", "warning", "note")
MAX_COLUMNS = 8  # columns or nodes in one line before "and ... more"
MAX_LINES = 12  # lines of one kind before "and ... more"
MIN_JOINED = 3  # findings of one kind at one node that are printed in one line

# Kinds in the order of printing, with a heading, and the format of sizes that are printed in one line.
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
    """One difference between nodes.

    Args:
        severity: "error": training fails or misreads values; "warning": the model will suffer, or a column
            was probably recorded differently; "note": worth knowing.
        kind: "schema", "text", "type", "index", "units", "category", "spelling", "missing", "constant",
            "code", "infinite", "labels", "shift", "duplicates", "keys" or "rows".
        what: what was found, in a sentence.
        cure: what to do about it.
        node: the node, if it is about one.
        column: the column, if it is about one.
        size: a share of rows, or a population stability index.
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
        """The node and the column, where the finding has them."""
        return ", ".join(part for part in (self.node, self.column) if part is not None)

    def __str__(self) -> str:
        return f"{self.place}: {self.what}. {self.cure}" if self.place else f"{self.what}. {self.cure}"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """Whether the nodes' data agree; the result of `check`.

    Args:
        nodes: rows of each node.
        columns: number of feature columns that were compared.
        findings: the differences, errors first.

    >>> print(Contract(nodes={"a": 10, "b": 20}, columns=3))
    2 nodes agree: nothing found in 3 columns of 30 rows (a 10, b 20)
    """

    nodes: Mapping[str, int]
    columns: int
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no error among the findings."""
        return not any(finding.severity == "error" for finding in self.findings)

    def __str__(self) -> str:
        count = {level: sum(f.severity == level for f in self.findings) for level in SEVERITIES}
        summary = ", ".join(f"{n} {level}{'s' * (n != 1)}" for level, n in count.items() if n)
        rows = ", ".join(f"{node} {rows}" for node, rows in list(self.nodes.items())[:MAX_COLUMNS])
        more = f", and {len(self.nodes) - MAX_COLUMNS} more" if len(self.nodes) > MAX_COLUMNS else ""
        nodes = f"{len(self.nodes)} node{'s' * (len(self.nodes) != 1)}"
        head = f"{nodes} agree: nothing" if not summary else f"{nodes}: {summary}"
        lines = [f"{head} found in {self.columns} columns of {sum(self.nodes.values())} rows ({rows}{more})"]
        for level in SEVERITIES:
            for kind, (heading, _) in KINDS.items():
                alike = [f for f in self.findings if (f.severity, f.kind) == (level, kind)]
                if alike:
                    cures = " ".join(list(dict.fromkeys(f.cure for f in alike))[:2])
                    lines += ["", *_wrapped(f"{level}: {heading}. {cures}", "", "")]
                    lines_of_kind = list(_lines(kind, alike))
                    hidden = len(lines_of_kind) - MAX_LINES
                    lines_of_kind[MAX_LINES:] = [f"and {hidden} more, in .findings"] * (hidden > 0)
                    for text in lines_of_kind:
                        lines += _wrapped(text, "  - ", "    ")
        return "\n".join(lines)

    def facts(self) -> dict[str, Any]:
        """The findings as data, for the report."""
        rows = [
            {"level": f.severity, "node": f.node, "column": f.column, "text": f"{f.what}. {f.cure}"}
            for f in self.findings
        ]
        return {"ok": self.ok, "findings": rows}


def percent(share: float) -> str:
    """A share as a whole percentage; small shares are not rounded to 0% nor large ones to 100%.

    >>> percent(0.003), percent(0.997), percent(1.0)
    ('<1%', '>99%', '100%')
    """
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"


def _wrapped(text: str, first: str, others: str) -> list[str]:
    return textwrap.wrap(text, 108, initial_indent=first, subsequent_indent=others)


def _lines(kind: str, alike: Sequence[Finding]) -> Iterator[str]:
    """Findings of one kind as lines; several at one node share a line."""
    size = KINDS[kind][1]
    for node in dict.fromkeys(f.node for f in alike):
        here = sorted((f for f in alike if f.node == node), key=lambda f: -f.size)
        if len(here) >= (MIN_JOINED if size == "{}" else 1) and size:
            shown = [
                f"{f.column} {size.format(f.size if ':' in size else percent(f.size)) if f.size else 'few'}"
                for f in here[:MAX_COLUMNS]
            ]
            more = f" and {len(here) - MAX_COLUMNS} more" if len(here) > MAX_COLUMNS else ""
            yield f"{node}: {', '.join(shown)}{more}"
        else:
            yield from (f"{f.place}: {f.what}" if f.place else f.what for f in here)

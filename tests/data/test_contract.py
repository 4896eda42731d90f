from __future__ import annotations

from talkoot.data.contract.contract import Contract, Finding


def finding(kind: str = "shift", **said: object) -> Finding:
    given = {"severity": "warning", "what": "it differs", "cure": "Look.", "node": "a", "column": "x", **said}
    return Finding(kind=kind, **given)  # type: ignore[arg-type]


def told(*findings: Finding) -> list[str]:
    return str(Contract(nodes={"a": 3, "b": 4}, columns=9, findings=findings)).splitlines()


def test_only_errors_break_a_contract() -> None:
    nodes = {"a": 3, "b": 4}
    assert Contract(nodes=nodes, columns=1).ok
    assert Contract(nodes=nodes, columns=1, findings=(finding(severity="warning"),)).ok
    assert not Contract(nodes=nodes, columns=1, findings=(finding(severity="error"),)).ok


def test_findings_are_told_by_kind_with_each_cure_once() -> None:
    lines = told(finding("units", node="a"), finding("units", node="b"), finding("labels", severity="note"))
    assert lines[0] == "2 nodes: 2 warnings, 1 note found in 9 columns of 7 rows (a 3, b 4)"
    assert lines[2:5] == ["warning: other units. Look.", "  - a, x: it differs", "  - b, x: it differs"]
    assert lines[6] == "note: labels. Look."


def test_many_columns_of_one_node_share_a_line() -> None:
    many = [finding(column=f"c{i}", size=i / 10) for i in range(12)]
    assert told(*many)[3:] == [
        "  - a: c11 1.10, c10 1.00, c9 0.90, c8 0.80, c7 0.70, c6 0.60, c5 0.50, c4 0.40 and 4 more"
    ]
    shares = [finding("text", column=f"c{i}", size=0.3) for i in range(3)]
    assert told(*shares)[3:] == ["  - a: c0 30%, c1 30%, c2 30%"]
    assert told(*shares[:2])[3:] == ["  - a, c0: it differs", "  - a, c1: it differs"]


def test_long_lists_are_cut() -> None:
    lines = told(*(finding("missing", node=f"n{i}") for i in range(30)))
    assert lines[-1] == "  - and 18 more, in .findings"
    assert len(lines) == 2 + 1 + 13
    nodes = {f"n{i}": 1 for i in range(10)}
    assert "n7 1, and 2 more)" in str(Contract(nodes=nodes, columns=1))


def test_reports_get_plain_facts() -> None:
    facts = Contract(nodes={"a": 1}, columns=1, findings=(finding(),)).facts()
    row = {"level": "warning", "node": "a", "column": "x", "text": "it differs. Look."}
    assert facts == {"ok": True, "findings": [row]}
    assert str(finding()) == "a, x: it differs. Look."
    assert str(finding(node=None, column=None)) == "it differs. Look."

"""How the score of each node went with its rows, so that it can be drawn with the changes that were found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

from talkoot.stream.drift.finding import Finding
from talkoot.stream.follow.model import Following
from talkoot.stream.follow.rules import Rules
from talkoot.stream.follow.scores.score import main, scores

ROWS = 1000  # of a node that a point is the score of
POINTS = 400  # of a node; where there are more, every other one is left out


def measure(rules: Rules) -> str:
    """What a point is."""
    return f"{main(rules)[0]} of the last {ROWS:,} rows"


def longer(now: Following, rules: Rules) -> Following:
    """The model with a point more for each node that has predicted rows since its last one."""
    course = {node: _longer(now, node, rules) for node in now.reports}
    return replace(now, course=course)


def _longer(now: Following, node: str, rules: Rules) -> list[tuple[int, float]]:
    points = [(int(at), float(value)) for at, value in now.course.get(node, ())]
    at = now.reports[node].predicted
    if points and points[-1][0] >= at:
        return points
    only = replace(now, scores={node: now.scores.get(node, {})})
    value = scores(only).get(f"last {ROWS}", {}).get("model", {}).get(main(rules)[0])
    if value is not None and isfinite(value):
        points.append((at, value))
    return points if len(points) <= POINTS else points[::2]


def news(now: Following, before: Following | None) -> dict[str, dict[str, list[Any]]]:
    """Points and findings, by node, that `before` does not have; those without any are left out."""
    points, findings = {}, {}
    for node, report in now.reports.items():
        course = () if before is None else before.course.get(node, ())
        last = course[-1][0] if course else -1
        points[node] = [[at, value] for at, value in now.course.get(node, ()) if at > last]
        known = () if before is None else before.reports[node].findings
        findings[node] = [_facts(one) for one in report.findings if one not in known]
    found: dict[str, dict[str, list[Any]]] = {"points": points, "findings": findings}
    return {kind: {node: some for node, some in each.items() if some} for kind, each in found.items()}


def _facts(finding: Mapping[str, Any]) -> dict[str, Any]:
    """Where a change began, whether predictions have become worse, and its sentence."""
    return {
        "since": finding["since"],
        "bad": finding["kind"] != "feature",
        "text": str(Finding(**finding)),
    }

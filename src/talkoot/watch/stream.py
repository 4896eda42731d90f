"""How good the predictions of a stream were, node by node, and which changes were found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

Facts = Mapping[str, Any]
MAX_POINTS = 400  # of a node


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What was reported of a stream that is followed.

    Memory is bounded: where a node has more than MAX_POINTS points, every other one is left out.

    Args:
        measure: what the points are.
        points: of each node, by its rows so far.
        findings: of each node the changes that were found, by their sentences.

    >>> change = {"since": 7, "bad": True, "text": "a: the error rose."}
    >>> stream = Stream().add({"measure": "rmse", "points": {"a": [[9, 0.5]]}, "findings": {"a": [change]}})
    >>> stream.points["a"], stream.findings["a"]["a: the error rose."]["since"]
    ({9: 0.5}, 7)
    """

    measure: str = ""
    points: Mapping[str, Mapping[float, float]] = field(default_factory=dict)
    findings: Mapping[str, Mapping[str, Facts]] = field(default_factory=dict)

    def add(self, facts: Facts) -> Stream:
        """Add a report of what is new."""
        points, findings = dict(self.points), dict(self.findings)
        for node, new in facts["points"].items():
            both = dict(points.get(node, {})) | {int(at): float(value) for at, value in new}
            points[node] = both if len(both) <= MAX_POINTS else dict(list(both.items())[::2])
        for node, found in facts["findings"].items():
            findings[node] = {**findings.get(node, {}), **{one["text"]: one for one in found}}
        return Stream(measure=str(facts["measure"]), points=points, findings=findings)

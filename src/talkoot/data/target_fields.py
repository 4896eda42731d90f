"""Round 0: what nodes report of the target, as the schema's fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from talkoot.core.errors import DataError, SchemaError
from talkoot.core.query import Answer
from talkoot.data.tables.columns import distinct


def target_fields(
    reports: Mapping[str, Answer], labels: bool, rows: int, target: str | None
) -> dict[str, Any]:
    """The schema's fields about the target."""
    kinds = {node: str(s["target"][0]) for node, s in reports.items()}
    without = [node for node, kind in kinds.items() if kind == "none"]
    if without and (labels or len(without) < len(kinds)):
        raise SchemaError(
            "there is no target here" + (", but there is at others" if len(without) < len(kinds) else ""),
            node=without[0],
            cure="Name the target column with target=, or give (X, y).",
        )
    if without:
        return {}
    widths = {node: int(s["outputs"][0]) for node, s in reports.items()}
    first = next(iter(widths))
    odd = next((node for node in widths if widths[node] != widths[first]), None)
    if odd is not None and not labels:
        raise SchemaError(
            f"the target has {widths[odd]} outputs here and {widths[first]} at {first!r} (0: one column)",
            node=odd,
        )
    if labels:
        _require_declared(reports, target)
        classes = _classes(reports, kinds)
        if not len(classes):
            raise DataError(
                "no node has a label that so many of its rows have as it needs to report one",
                column=target,
                cure='Declare the classes: tk.dataset("name", classes=[0, 1]).',
            )
        return {"classes": classes}
    center = np.sum([s["target_sum"] for s in reports.values()], axis=0) / rows
    return {"target_center": np.atleast_1d(center), "outputs": widths[first]}


def _require_declared(reports: Mapping[str, Answer], target: str | None) -> None:
    """Refuse a node with classes that were not declared; which ones stays there."""
    odd = next((node for node, s in reports.items() if "undeclared" in s and s["undeclared"][0]), None)
    if odd is not None:
        raise SchemaError(
            "some rows have a class that was not declared",
            node=odd,
            column=target,
            cure="Add it to classes=, or have the node correct those rows or leave them out.",
        )


def _classes(reports: Mapping[str, Answer], kinds: Mapping[str, str]) -> np.ndarray:
    text = [node for node, kind in kinds.items() if kind in "OU"]
    if text and len(text) < len(kinds):
        other = next(node for node in kinds if node not in text)
        shown = [f" (for example {str(label)!r})" for label in reports[text[0]]["classes"][:1]]
        raise SchemaError(
            f"the labels are text here{''.join(shown)}, but numbers at {other!r}",
            node=text[0],
            cure="Name the classes alike at all nodes.",
        )
    union = distinct(np.concatenate([s["classes"] for s in reports.values()]))
    return union.astype(object) if "O" in kinds.values() else union

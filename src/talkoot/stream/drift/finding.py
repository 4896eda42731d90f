"""What a monitor found, with its sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

Kind = Literal["loss", "feature", "estimate", "prediction"]


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """One change: what, at which node, since when and how sure.

    Args:
        kind: "loss" (from labels), "estimate" (from predictions), "feature", or "prediction" (not finite).
        what: the column, or the measure.
        node: where; empty: over all nodes.
        since: position at which it began.
        at: position at which it was noticed.
        before: the value in front of the change.
        after: the value since; of a feature the share of rows that lie elsewhere.
        p_value: how likely so much is by chance.

    >>> print(Finding("loss", "error", "oslo", 400_120, 400_610, before=0.25, after=0.352, p_value=4e-7))
    oslo: the error rose from 0.25 to 0.352 since row 400,120, noticed at row 400,610 (by chance: 4e-07).
    """

    kind: Kind
    what: str
    node: str
    since: int
    at: int
    before: float
    after: float
    p_value: float

    def __str__(self) -> str:
        where = f"{self.node}: " if self.node else "all nodes: "
        when = f"since row {self.since:,}, noticed at row {self.at:,} (by chance: {self.p_value:.2g})."
        match self.kind:
            case "loss":
                return f"{where}the {self.what} rose from {self.before:.3g} to {self.after:.3g} {when}"
            case "feature":
                return (
                    f"{where}{self.after:.0%} of the rows of {self.what!r} lie elsewhere than before, {when}"
                )
            case "estimate":
                change = f"from {self.before:.3g} to {self.after:.3g}"
                return f"{where}the {self.what}, estimated without labels, fell {change} {when}"
            case "prediction":
                return f"{where}the model predicts what is no finite number, since row {self.since:,}."

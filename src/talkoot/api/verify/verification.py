"""The result of `verify`: a table of differences, and plain values for reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from talkoot.api.text_table import text_table


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One attribute or method that was compared.

    Args:
        name: a fitted attribute or a method.
        apart: layout of the nodes -> largest relative difference.
        tolerance: the largest difference that counts as the same.
    """

    name: str
    apart: Mapping[str, float]
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether it is the same on every layout."""
        return max(self.apart.values()) <= self.tolerance


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """How far from the optimum each side stops at the estimator's own settings.

    Args:
        name: a fitted attribute or a method.
        alone: largest relative difference of scikit-learn's answer from the optimum.
        nodes: the same of Talkoot's answer.
    """

    name: str
    alone: float
    nodes: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The comparison of Talkoot with scikit-learn alone, on the same rows; see `verify`.

    Args:
        estimator: what was fitted on both sides.
        checks: all comparisons.
        shortfalls: for iterative solvers, how far each side stops from the optimum at the estimator's own
            tolerance; empty for others.
        where: where Talkoot fitted it.
        notes: settings that were changed, and parts that were left out, to make the comparison fair.

    >>> check = Check(name="coef_", apart={"2 nodes": 3e-15, "7 nodes": 2e-15}, tolerance=1e-9)
    >>> print(Verification(estimator="Ridge", checks=(check,)))
    Ridge over nodes is the same as scikit-learn's on all rows; largest differences:
           2 nodes  7 nodes  allowed
    coef_  3.0e-15  2.0e-15    1e-09  same
    """

    estimator: str
    checks: tuple[Check, ...]
    shortfalls: tuple[Shortfall, ...] = ()
    notes: tuple[str, ...] = ()
    where: str = "over nodes"

    @property
    def ok(self) -> bool:
        """Whether everything is the same."""
        return all(check.ok for check in self.checks)

    def __str__(self) -> str:
        layouts = list(self.checks[0].apart)
        heads = ["", *layouts, "allowed", ""]
        rows = [
            [
                check.name,
                *(f"{check.apart[layout]:.1e}" for layout in layouts),
                f"{check.tolerance:.0e}",
                "same" if check.ok else "DIFFERS",
            ]
            for check in self.checks
        ]
        verdict = "the same as" if self.ok else "NOT the same as"
        head = f"{self.estimator} {self.where} is {verdict} scikit-learn's on all rows; largest differences:"
        table = text_table([heads, *rows], right=range(1, len(heads) - 1))
        return "\n".join([head, table, *self._stops(), *self.notes])

    def _stops(self) -> list[str]:
        if not self.shortfalls:
            return []
        rows = [[s.name, f"{s.alone:.1e}", f"{s.nodes:.1e}"] for s in self.shortfalls]
        head = "At the estimator's own settings each side stops this far from the optimum:"
        return [head, text_table([["", "scikit-learn", "Talkoot"], *rows], right=(1, 2))]

    def _furthest(self) -> list[str]:
        if not self.shortfalls:
            return []
        worst = max(self.shortfalls, key=lambda s: max(s.alone, s.nodes))
        sides = f"scikit-learn {worst.alone:.1e} from it, Talkoot {worst.nodes:.1e} ({worst.name})"
        return [f"At the estimator's own settings each side stops before the optimum: {sides}."]

    def facts(self) -> dict[str, Any]:
        """Plain values for a report."""
        rows = [
            {"name": c.name, "difference": max(c.apart.values()), "tolerance": c.tolerance, "ok": c.ok}
            for c in self.checks
        ]
        return {"ok": self.ok, "rows": rows, "notes": [*self._furthest(), *self.notes]}

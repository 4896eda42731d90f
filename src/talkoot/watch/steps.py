"""The progress of training by steps: a bounded number of reports, and its speed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

MAX_REPORTS = 400  # in memory
RECENT_SECONDS = 10.0  # of reports, from which the present speed is computed
RATE = "samples_per_s"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report of some steps."""

    step: int  # steps done since the start of training
    at: float  # when, in seconds since 1970
    seconds: float  # that these steps took
    metrics: Mapping[str, float]  # means over these steps
    parts: int = 1  # number of reports merged into this one

    def merge(self, later: Report) -> Report:
        """One report of these steps and the later ones."""
        share = later.seconds / ((self.seconds + later.seconds) or 1.0)
        both = {
            name: value + share * (later.metrics[name] - value)
            for name, value in self.metrics.items()
            if name in later.metrics
        }
        seconds, parts = self.seconds + later.seconds, self.parts + later.parts
        return replace(later, seconds=seconds, metrics={**later.metrics, **both}, parts=parts)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The reports of training, oldest first.

    Memory is bounded: where there would be more than MAX_REPORTS, all pairs of neighbours are merged, so
    that the reports stay evenly spaced.

    >>> steps = Steps().add({"step": 10, "steps": 50, "seconds": 2.0, "metrics": {"loss": 0.5}}, at=3.0)
    >>> steps = steps.add({"step": 30, "steps": 50, "seconds": 4.0, "metrics": {"loss": 0.4}}, at=7.0)
    >>> steps.left, steps.series("loss")
    (4.0, {10: 0.5, 30: 0.4})
    """

    total: int = 0
    ranks: int = 1  # processes that train, by the last report
    last: Report | None = None  # the last report, unmerged
    reports: tuple[Report, ...] = field(default=(), repr=False)  # merged reports
    parts: int = 1  # number of reports merged into each of them

    @property
    def done(self) -> int:
        """Steps done."""
        return 0 if self.last is None else self.last.step

    def add(self, facts: Mapping[str, Any], at: float) -> Steps:
        """Add a report. Where steps are repeated after a failure, it replaces their earlier reports."""
        metrics = {name: math.nan if v is None else float(v) for name, v in facts["metrics"].items()}
        new = Report(step=int(facts["step"]), at=at, seconds=float(facts["seconds"]), metrics=metrics)
        before, merged = tuple(report for report in self.reports if report.step < new.step), new
        if before and before[-1].parts < self.parts:
            before, merged = before[:-1], before[-1].merge(new)
        reports, parts = (*before, merged), self.parts
        if len(reports) > MAX_REPORTS:
            reports, parts = _merge_pairs(reports), 2 * parts
        return Steps(
            total=int(facts["steps"]),
            ranks=int(facts.get("ranks", 1)),
            last=new,
            reports=reports,
            parts=parts,
        )

    @property
    def left(self) -> float | None:
        """Seconds until the last step at the present speed; None if it is not known yet."""
        recent = self._recent()
        if len(recent) < 2:
            return None
        seconds = sum(report.seconds for report in recent[1:])
        return (self.total - self.done) * seconds / (recent[-1].step - recent[0].step)

    @property
    def rate(self) -> float | None:
        """Samples per second at present, if reported."""
        return _rate(self._recent())

    @property
    def mean_rate(self) -> float | None:
        """Samples per second over the whole training, if reported."""
        return _rate(self.reports)

    def series(self, name: str) -> dict[float, float]:
        """A metric by step, where it is a finite number."""
        return {r.step: r.metrics[name] for r in self.reports if math.isfinite(r.metrics.get(name, math.nan))}

    def _recent(self) -> tuple[Report, ...]:
        """The reports of the last RECENT_SECONDS or a little more, and the one before them."""
        seconds, first = 0.0, len(self.reports)
        while first > 0 and seconds < RECENT_SECONDS:
            first -= 1
            seconds += self.reports[first].seconds
        return self.reports[max(0, first - 1) :]


def _merge_pairs(reports: tuple[Report, ...]) -> tuple[Report, ...]:
    """Each pair of neighbours as one report; of an odd number the last stays as it is."""
    pairs = tuple(a.merge(b) for a, b in zip(reports[::2], reports[1::2], strict=False))
    return pairs if len(reports) % 2 == 0 else (*pairs, reports[-1])


def _rate(reports: tuple[Report, ...]) -> float | None:
    """The mean rate; without the first report, which includes the warm-up, if there are others."""
    known = [report for report in reports[1:] or reports if RATE in report.metrics]
    seconds = sum(report.seconds for report in known)
    return sum(report.metrics[RATE] * report.seconds for report in known) / seconds if seconds else None

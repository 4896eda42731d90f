"""How a training went that tells of its steps: a bounded number of reports, and its pace."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

MOST = 400  # reports that are kept
PACE = 10.0  # seconds of the latest reports that say how fast it goes now
RATE = "samples_per_s"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was told of some steps.

    Args:
        step: steps done in all.
        at: when, in seconds since 1970.
        seconds: that these steps took.
        metrics: their means over that time.
        parts: reports that this one is made of.
    """

    step: int
    at: float
    seconds: float
    metrics: Mapping[str, float]
    parts: int = 1

    def then(self, later: Report) -> Report:
        """The report of these steps and of those that followed."""
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
    """The reports of a training, oldest first.

    However long it takes, memory is bounded: where there would be more than MOST reports, neighbours
    become one, all along the training, so that its course is seen evenly.

    Args:
        total: steps in all.
        ranks: processes that take them, as the last report says.
        last: the last report as it was told.
        reports: those that are kept.
        parts: reports that make one of those.

    >>> steps = Steps().told({"step": 10, "steps": 50, "seconds": 2.0, "metrics": {"loss": 0.5}}, at=3.0)
    >>> steps = steps.told({"step": 30, "steps": 50, "seconds": 4.0, "metrics": {"loss": 0.4}}, at=7.0)
    >>> steps.left, steps.series("loss")
    (4.0, {10: 0.5, 30: 0.4})
    """

    total: int = 0
    ranks: int = 1
    last: Report | None = None
    reports: tuple[Report, ...] = field(default=(), repr=False)
    parts: int = 1

    @property
    def done(self) -> int:
        """Steps done."""
        return 0 if self.last is None else self.last.step

    def told(self, facts: Mapping[str, Any], at: float) -> Steps:
        """With one report more. Steps that are taken once more take the place of what was told of them."""
        metrics = {name: math.nan if v is None else float(v) for name, v in facts["metrics"].items()}
        new = Report(step=int(facts["step"]), at=at, seconds=float(facts["seconds"]), metrics=metrics)
        kept = tuple(report for report in self.reports if report.step < new.step)
        if kept and kept[-1].parts < self.parts:
            kept, merged = kept[:-1], kept[-1].then(new)
        else:
            merged = new
        reports, parts = (*kept, merged), self.parts
        if len(reports) > MOST:
            reports, parts = _halved(reports), 2 * parts
        return Steps(
            total=int(facts["steps"]),
            ranks=int(facts.get("ranks", 1)),
            last=new,
            reports=reports,
            parts=parts,
        )

    @property
    def left(self) -> float | None:
        """Seconds until the last step at the present pace; None if that cannot be said yet."""
        recent = self._recent()
        if len(recent) < 2:
            return None
        seconds = sum(report.seconds for report in recent[1:])
        return (self.total - self.done) * seconds / (recent[-1].step - recent[0].step)

    @property
    def rate(self) -> float | None:
        """Samples per second at the present pace, if they are told."""
        return _rate(self._recent())

    @property
    def mean_rate(self) -> float | None:
        """Samples per second over the whole training, if they are told."""
        return _rate(self.reports)

    def series(self, name: str) -> dict[float, float]:
        """A metric by step, where it is a finite number."""
        return {r.step: r.metrics[name] for r in self.reports if math.isfinite(r.metrics.get(name, math.nan))}

    def _recent(self) -> tuple[Report, ...]:
        """The latest reports, of PACE seconds or a little more, and the one before them."""
        seconds, first = 0.0, len(self.reports)
        while first > 0 and seconds < PACE:
            first -= 1
            seconds += self.reports[first].seconds
        return self.reports[max(0, first - 1) :]


def _halved(reports: tuple[Report, ...]) -> tuple[Report, ...]:
    """Neighbours as one; the last is alone where their number is odd."""
    pairs = tuple(a.then(b) for a, b in zip(reports[::2], reports[1::2], strict=False))
    return pairs if len(reports) % 2 == 0 else (*pairs, reports[-1])


def _rate(reports: tuple[Report, ...]) -> float | None:
    """The mean rate; without the first report, in which a training warms up, if there are others."""
    told = [report for report in reports[1:] or reports if RATE in report.metrics]
    seconds = sum(report.seconds for report in told)
    return sum(report.metrics[RATE] * report.seconds for report in told) / seconds if seconds else None

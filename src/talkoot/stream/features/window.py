"""A window of time over the rows of a key, as a description."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import final

from talkoot.core.errors import PlanError

AGGREGATES = ("count", "sum", "mean", "std", "min", "max", "distinct", "since")
UNITS = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
LONGEST = 200 * 365 * UNITS["d"]


@final
@dataclass(frozen=True, slots=True)
class Window:
    """What `tk.window` makes."""

    duration: str
    aggregates: tuple[str, ...]
    by: tuple[str, ...] = ()
    of: str | None = None
    every: str | None = None

    def __post_init__(self) -> None:
        if not self.aggregates:
            raise PlanError(f"{self._text()} computes nothing", cure=f"Name some of {', '.join(AGGREGATES)}.")
        for aggregate in self.aggregates:
            if aggregate not in AGGREGATES:
                raise PlanError(
                    f"{self._text()} has no aggregate {aggregate!r}", cure=f"Take {', '.join(AGGREGATES)}."
                )
        needs = [name for name in self.aggregates if name not in ("count", "since")]
        if self.of is None and needs:
            raise PlanError(f"{needs[0]} of which column?", cure='Name it, as in of="amount".')
        if self.every is not None and "since" in self.aggregates:
            raise PlanError(
                "`since` looks at single rows, and a window with `every` has only whole panes",
                cure="Put it into a window of its own without `every`.",
            )
        if self.duration_us % self.pane_us:
            raise PlanError(
                f"{self.duration} is not a multiple of every={self.every!r}",
                cure="Take whole panes, such as every='10m' for a duration of '1h'.",
            )

    def _text(self) -> str:
        return f"the window of {self.duration}"

    @property
    def duration_us(self) -> int:
        """The duration in microseconds."""
        return microseconds(self.duration)

    @property
    def pane_us(self) -> int:
        """The length of a pane in microseconds: 1 for a window that slides."""
        return 1 if self.every is None else microseconds(self.every)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that come out, in the order of the aggregates.

        >>> Window("1h", ("sum", "mean"), ("card", "shop"), "amount", "5m").names
        ('amount_sum_1h_every_5m_by_card_and_shop', 'amount_mean_1h_every_5m_by_card_and_shop')
        """
        of = "" if self.of is None else f"{self.of}_"
        every = "" if self.every is None else f"_every_{self.every}"
        by = f"_by_{'_and_'.join(self.by)}" if self.by else ""
        return tuple(f"{of}{aggregate}_{self.duration}{every}{by}" for aggregate in self.aggregates)


def window(
    duration: str,
    *aggregates: str,
    by: str | tuple[str, ...] | list[str] = (),
    of: str | None = None,
    every: str | None = None,
) -> Window:
    """A window of time over the rows of a key, for `tk.features`.

    Without `every` it slides: a row at time t sees the rows of its key in (t - duration, t], the oldest edge
    left out, as in pandas' ``rolling("1h")``. With `every` it hops: windows begin at multiples of `every`
    since 1970, and a row sees, of those that hold it, the one that ends next. With ``every`` equal to the
    duration it tumbles: a row sees the hour that it is in.

    Args:
        duration: how far it reaches, such as ``"90s"``, ``"10m"``, ``"1h"``, ``"7d"``.
        aggregates: ``"count"``, ``"sum"``, ``"mean"``, ``"std"`` (by n - 1), ``"min"``, ``"max"``,
            ``"distinct"``, ``"since"`` (seconds since the last row of the key; missing where it is not in the
            window).
        by: the column, or columns, whose values make a key; none for all rows together.
        of: the column that is aggregated. Missing values are not counted. None counts rows.
        every: how far apart windows begin; the duration is a multiple of it.

    Raises:
        PlanError: a time that cannot be read, or aggregates that do not exist or lack a column.

    >>> window("1h", "sum", "mean", by="card", of="amount").names
    ('amount_sum_1h_by_card', 'amount_mean_1h_by_card')
    """
    keys = (by,) if isinstance(by, str) else tuple(by)
    return Window(duration, aggregates, keys, of, every)


def microseconds(text: str) -> int:
    """A time such as "90s" or "1.5h" in microseconds.

    Raises:
        PlanError: another text, no time at all, or more than 200 years.

    >>> microseconds("1h"), microseconds("0.5s")
    (3600000000, 500000)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d|w)", text) if isinstance(text, str) else None
    result = 0 if match is None else round(float(match[1]) * UNITS[match[2]])
    if match is None or not result <= LONGEST or (result == 0 and float(match[1]) > 0):
        raise PlanError(f"{text!r} is not a time", cure='Write it as "90s", "10m", "1h", "7d" or "2w".')
    return result

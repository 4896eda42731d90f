"""What tk.follow gives back: the model, how good its predictions were, and how far the stream was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

from talkoot.core.context import stream_rng
from talkoot.core.plan import Plan
from talkoot.core.shard import UNKNOWN
from talkoot.learners.online.state import State
from talkoot.stream.drift.finding import Finding
from talkoot.stream.features.features import WindowFeatures
from talkoot.stream.follow.learner import Follower
from talkoot.stream.follow.model import Following
from talkoot.stream.follow.scores.score import Scores, scores
from talkoot.stream.follow.snapshot import Snapshot
from talkoot.watch import words
from talkoot.watch.events import Event, versions
from talkoot.watch.report import report


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Followed:
    """The result of following a stream.

    Args:
        model: a `Snapshot` that predicts.
        following: how far each node is, and what it counted.
        metrics: rows, and how good predictions were before their rows were learned.
        plan: what was run.
        store: the folder of what is stored; None for a temporary one.
        seconds: wall time.
        interrupted: whether Ctrl-C ended it.
        events: what happened, as in the log.

    >>> import pyarrow as pa, talkoot as tk
    >>> table = pa.table({"x": [1.0, -2.0, 3.0], "large": [True, False, True]})
    >>> found = tk.follow(tk.online.Logistic(), table, target="large")
    >>> found.offsets, found.rejected
    ({'0': '3'}, {})
    """

    model: Snapshot
    following: Following
    metrics: Mapping[str, float]
    plan: Plan
    store: Path | None
    seconds: float
    interrupted: bool
    events: tuple[Event, ...]

    @classmethod
    def of(
        cls,
        plan: Plan,
        following: Following | None,
        windows: tuple[WindowFeatures, State] | None,
        **rest: Any,
    ) -> Self:
        """The result of a run that stored `following`; None where no round was held."""
        learner = plan.learner
        assert isinstance(learner, Follower)
        now = following or learner.init(UNKNOWN, stream_rng(plan.seed, "init"))
        model = Snapshot.of(now, learner.rules.model, learner.rules.columns, windows)
        return cls(model=model, following=now, metrics=learner.measures(now), plan=plan, **rest)

    @property
    def version(self) -> int:
        """How many rounds have changed the model."""
        return self.following.version

    @property
    def rows(self) -> int:
        """Rows that were read, also those that could not be learned from."""
        return self.following.rows

    @property
    def offsets(self) -> dict[str, str | None]:
        """Where each partition goes on."""
        reports = self.following.reports.values()
        return {name: offset for report in reports for name, offset in report.offsets.items()}

    @property
    def rejected(self) -> dict[str, int]:
        """Rows that could not be read, by reason; they stand in `store`, in files ``*.rejected.jsonl``."""
        counts: dict[str, int] = {}
        for node in self.following.reports.values():
            for reason, number in node.rejected.items():
                counts[reason] = counts.get(reason, 0) + number
        return counts

    @property
    def labels(self) -> dict[str, int]:
        """What became of rows and labels, where labels come later; see `Labels.counts`."""
        counts: dict[str, int] = {}
        for node in self.following.reports.values():
            for what, number in node.labels.items():
                counts[what] = counts.get(what, 0) + number
        return counts

    @property
    def scores(self) -> Scores:
        """Scores by window, of the model and of baselines: window -> "model" or a baseline -> measure."""
        return scores(self.following)

    @property
    def changes(self) -> list[str]:
        """Changes that `drift=` found, and what was done about them, in words; the last ones of each node."""
        return [text for node in self.following.reports.values() for text in node.changes]

    @property
    def findings(self) -> list[Finding]:
        """Changes that `drift=` found: where, since which row, how sure; the last ones of each node."""
        return [Finding(**one) for node in self.following.reports.values() for one in node.findings]

    def report(self, path: str | Path) -> Path:
        """Write the run as one HTML file that opens without a network.

        Args:
            path: where; folders are made.
        """
        return report(({"event": "log", "t": 0.0, "versions": versions()}, *self.events), path)

    def __repr__(self) -> str:
        shown = "".join(f", {k} {words.number(v)}" for k, v in self.metrics.items() if k != "rows")
        lost = sum(self.rejected.values())
        aside = f", {words.many(lost, 'row')} set aside" if lost else ""
        waiting = self.labels.get("waiting", 0)
        later = f", {words.many(waiting, 'row')} wait for their labels" if waiting else ""
        stopped = ", interrupted" if self.interrupted else ""
        name = type(self.model.model).__name__
        return (
            f"<Followed: {name}, version {self.version}, {words.many(self.rows, 'row')}{aside}{later}"
            f"{shown}, {self.seconds:.2f} s{stopped}>"
        )

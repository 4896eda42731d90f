"""Round 0 as a learner: every node reports its columns, its rows and its labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.query import Answer, Query
from talkoot.core.shard import Block, Shard
from talkoot.data.tables.columns import NUMBER, WHOLE, distinct
from talkoot.data.tables.source import STEP, Layout, Source
from talkoot.data.tables.strays import Stray, is_number
from talkoot.data.targets import is_text, missing, text_target

LABELS = 5  # rows that must have a label, at least, before a node that hides its rows says that there is one


@final
@dataclass(frozen=True, slots=True)
class Inventory(Query):
    """Reports each node's columns, number of rows, center and labels."""

    labels: bool = False  # collect the distinct values of the target; else its mean
    target: str | None = None  # the target's name, for errors
    read: bool = True  # whether to read the target; False for estimators without one
    hidden: bool = False  # report nothing that follows from single rows: see `_hidden`
    classes: tuple[Any, ...] = ()  # declared ones: report only whether there are others
    least: int = 1  # report no mean, label or text of fewer rows
    reads: ClassVar[type[Shard]] = Source
    step_name: ClassVar[str] = STEP

    def answer(self, shard: Shard) -> Answer:
        """The columns, the means of the first block of features, and facts about all targets."""
        assert isinstance(shard, Source)
        least = max(self.least, LABELS) if self.hidden else self.least
        seen = _Targets(labels=self.labels, column=self.target, declared=self.classes, least=least)
        for y, w, rows in shard.targets():
            seen.add(y if self.read else None, w, rows)
        if not seen.rows:
            return {}
        layout = shard.layout()
        own, strays = layout.schema(), [layout.strays.get(name, Stray()) for name in layout.names]
        first = None if self.hidden else next(islice(shard.bind(own, target=False).blocks(), 1), None)
        report = {
            "rows": np.array([seen.rows]),
            "names": np.array(layout.names, dtype=str),
            "kinds": np.array(layout.kinds, dtype=str),
            "examples": np.array([stray.text for stray in strays], dtype=str),
            "places": np.array([stray.place for stray in strays], dtype=str),
            "among": np.array([stray.among for stray in strays], dtype=bool),
            "named": np.array([layout.named]),
            "dtypes": np.array(layout.dtypes, dtype=str),
            "dtype": np.array([layout.dtype.name if {NUMBER, WHOLE} & {*layout.kinds} else ""]),
            "sparse": np.array([layout.sparse]),
            "center": _center(first, layout, least),
            **seen.leaves(),
        }
        if least > 1:
            report |= {name: np.full(len(layout.names), "") for name in ("examples", "places")}
        return _hidden(report) if self.hidden else report


def _hidden(report: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns and their kinds alone: no sums, no number of rows."""
    sums = {"target_sum": np.zeros_like(report["target_sum"])} if "target_sum" in report else {}
    return {**report, **sums, "rows": np.ones(1, dtype=np.int64)}


def _center(first: Block | None, layout: Layout, least: int) -> np.ndarray:
    """(features,) means of a block's number columns; NaN for text and where too little is finite."""
    center = np.full(len(layout.names), np.nan)
    if layout.sparse or first is None:
        return center
    if isinstance(first.X, Mapping):
        means = {k: _mean(v, least) for k, v in first.X.items() if v.dtype.kind in "fiu"}
    else:
        usable = layout.schema().names or layout.names
        means = dict(zip(usable, (_mean(column, least) for column in first.X.T), strict=True))
    return np.array([means.get(name, np.nan) for name in layout.names], dtype=np.float64)


def _mean(column: np.ndarray, least: int) -> float:
    finite = column[np.isfinite(column)]
    return float(finite.mean(dtype=np.float64)) if len(finite) >= least else np.nan


@final
@dataclass(slots=True)
class _Targets:
    """Facts about the targets and weights of a node, gathered block by block."""

    labels: bool
    column: str | None
    rows: int = 0
    absent: int = 0
    weightless: int = 0
    dtype: str = "none"
    outputs: int = 0
    total: Any = 0.0
    classes: list[np.ndarray] = field(default_factory=list)
    declared: tuple[Any, ...] = ()
    least: int = 1  # rows that must have a label for it to count
    counts: Counter[Any] = field(default_factory=Counter)

    def add(self, y: np.ndarray | None, w: np.ndarray | None, rows: int) -> None:
        """Count another block of rows."""
        self.rows += rows
        if w is not None:
            self.weightless += int((~np.isfinite(w)).sum())
        if y is None or not len(y):
            return
        if lost := missing(y):
            self.absent += lost
        if self.absent:  # an error follows once all rows are counted
            return
        self._refuse_infinite(y)
        self.outputs = y.shape[1] if y.ndim == 2 else 0
        if self.labels:
            self._add_labels(y)
        elif is_text(y):
            known = [str(value) for value in y if value is not None]
            odd = next((value for value in known if not is_number(value)), known[0])
            raise text_target(odd, self.column)
        else:
            self.dtype = "number"
            self.total = self.total + np.atleast_1d(y.sum(axis=0, dtype=np.float64))

    def _refuse_infinite(self, y: np.ndarray) -> None:
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            raise DataError(
                "Input y contains infinity or a value too large for dtype('float64')",
                column=self.column,
                cure="Clean the target.",
            )

    def _add_labels(self, y: np.ndarray) -> None:
        if y.ndim == 2 and y.shape[1] > 1:
            raise DataError(
                f"the target has {y.shape[1]} columns, and a classifier learns one",
                cure="Fit one classifier for each column.",
            )
        fresh = distinct(y.ravel())
        if fresh.dtype.kind == "f" and (fresh != np.floor(fresh)).any():
            raise DataError(
                "Unknown label type: continuous. The target holds numbers that are not whole, such as "
                f"{fresh[fresh != np.floor(fresh)][0]}, and a classifier learns classes",
                column=self.column,
                cure="Fit a regressor, or cut the target into classes.",
            )
        self.dtype = y.dtype.str if not is_text(y) else y.dtype.kind
        self.classes = [distinct(np.concatenate([*self.classes, fresh]))]
        if self.least > 1:
            self.counts.update(y.ravel().tolist())

    def leaves(self) -> dict[str, np.ndarray]:
        """The leaves of the update.

        Raises:
            DataError: rows have no target.
        """
        if self.weightless:
            what = "1 sample weight is" if self.weightless == 1 else f"{self.weightless} sample weights are"
            raise DataError(f"{what} missing or infinite", cure="Give every row a number.")
        if self.absent:
            what = "1 row has" if self.absent == 1 else f"{self.absent} rows have"
            raise DataError(
                f"Input y contains NaN: {what} no target",
                column=self.column,
                cure="Leave those rows out, or fill in the target.",
            )
        known = {"target": np.array([self.dtype]), "outputs": np.array([self.outputs])}
        if self.dtype == "none":
            return known
        if self.labels:
            (classes,) = self.classes
            if self.declared:
                undeclared = bool({*classes.tolist()} - {*self.declared})
                return known | {"classes": np.array(self.declared), "undeclared": np.array([undeclared])}
            if self.least > 1:
                classes = classes[[self.counts[label] >= self.least for label in classes.tolist()]]
            return known | {"classes": classes.astype(str) if is_text(classes) else classes}
        return known | {"target_sum": np.asarray(self.total)}

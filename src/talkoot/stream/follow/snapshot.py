"""A model as it was after a round: it predicts, and does not change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pyarrow as pa

from talkoot.core.errors import DataError, PlanError
from talkoot.data.tables.tables import as_arrow, is_table
from talkoot.learners.online.features import Encoder
from talkoot.learners.online.model import OnlineModel
from talkoot.learners.online.state import State, copied
from talkoot.stream.features.features import WindowFeatures
from talkoot.stream.follow.columns import Columns
from talkoot.stream.follow.model import Following
from talkoot.stream.follow.rows import Label, readable
from talkoot.stream.follow.windows import columns_for


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """A model of one version. It predicts as models of scikit-learn do.

    Args:
        model: its description.
        columns: what the columns of rows are.
        labels: the labels of classes, by their codes.
        held: the states of the nodes' models, whose predictions are averaged.
        version: how many rounds have changed the model.
        windows: what is computed of the rows before, and its state, where the stream has one partition.
    """

    model: OnlineModel
    columns: Columns
    labels: tuple[Label, ...]
    held: tuple[State, ...]
    version: int
    windows: tuple[WindowFeatures, State] | None = None

    @classmethod
    def of(
        cls,
        following: Following,
        model: OnlineModel,
        columns: Columns,
        windows: tuple[WindowFeatures, State] | None = None,
    ) -> Snapshot:
        """What a model that follows is now."""
        return cls(
            model=model,
            columns=columns,
            labels=following.labels,
            held=tuple(copied(state) for state in following.states.values()),
            version=following.version,
            windows=windows,
        )

    @property
    def states(self) -> tuple[State, ...]:
        """The states of the nodes' models; their arrays cannot be changed."""
        return tuple({name: _fixed(array) for name, array in state.items()} for state in self.held)

    @property
    def classes_(self) -> np.ndarray:
        """The labels in sorted order, as the columns of `predict_proba`.

        Raises:
            PlanError: the model predicts no classes.
        """
        if self.model.task not in ("binary", "classes"):
            raise PlanError(f"{type(self.model).__name__} predicts no classes", cure="Use predict(rows).")
        return np.array(sorted(self.labels))

    def predict(self, rows: Any) -> np.ndarray:
        """The label, number or cluster of each row.

        Args:
            rows: a table of pandas, polars or pyarrow, a mapping of columns, or a list of mappings.

        Raises:
            DataError: a row cannot be read, such as for a column that is missing.
        """
        if self.model.task in ("binary", "classes"):
            return np.asarray(self.classes_[self.predict_proba(rows).argmax(axis=1)])
        found = self._predicted(rows)
        return found[0] if self.model.task == "clusters" else np.mean(found, axis=0)

    def predict_proba(self, rows: Any) -> np.ndarray:
        """The probability of each class, (rows, classes), in the order of `classes_`."""
        order = np.argsort(np.array(self.labels))
        if not len(order):
            raise DataError("the model has seen no label yet", cure="Follow more rows first.")
        found = np.mean(self._predicted(rows), axis=0)
        if self.model.task == "binary":
            found = np.column_stack([1 - found, found])
        return np.asarray(found[:, : len(order)][:, order])

    def _predicted(self, rows: Any) -> list[np.ndarray]:
        features = Encoder(self.columns.layout(len(self.labels))).encode(self._read(rows))
        return [self.model.predict(state, features) for state in self.held]

    def _read(self, rows: Any) -> pa.RecordBatch:
        table = self._with_windows(_table(rows))
        numbers = (*self.columns.numbers, *self.columns.windows)
        plain = Columns(numbers=numbers, categories=self.columns.categories)
        found = readable(table, plain)
        for row, reason in found.rejected.items():
            raise DataError(f"row {row} cannot be read: {reason}")
        return found.batch

    def _with_windows(self, table: pa.RecordBatch) -> pa.RecordBatch:
        """The rows with what each would see if it came next, unless they have these columns."""
        missing = [name for name in self.columns.windows if name not in table.schema.names]
        if not missing:
            return table
        if self.windows is None:
            raise DataError(
                f"the rows lack {missing[0]!r}, and the stream has several partitions, with windows each",
                cure="Compute the columns with tk.features(...).peek(state, rows), and give them too.",
            )
        features, state = self.windows
        found = features.peek(state, columns_for(features, table))
        for name in self.columns.windows:
            table = table.append_column(name, found.column(name))
        return table

    def __repr__(self) -> str:
        width = len(self.columns.numbers) + len(self.columns.windows) + len(self.columns.categories)
        return f"<Snapshot of {type(self.model).__name__}: version {self.version}, {width} columns>"


def _fixed(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


def _table(rows: Any) -> pa.RecordBatch:
    """Rows as one batch."""
    if isinstance(rows, pa.RecordBatch):
        return rows
    if is_table(rows):
        table, _ = as_arrow(rows)
    elif isinstance(rows, Mapping):
        table = pa.table({name: np.atleast_1d(np.asarray(column)) for name, column in rows.items()})
    elif isinstance(rows, Sequence) and all(isinstance(row, Mapping) for row in rows):
        table = pa.Table.from_pylist([dict(row) for row in rows])
    else:
        raise DataError(
            f"a {type(rows).__name__} is no table",
            cure="Give a table of pandas, polars or pyarrow, a dict of columns, or a list of dicts.",
        )
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)

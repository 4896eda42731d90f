"""What the first rows of a stream tell: which columns there are, and of which kinds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any, final

import pyarrow as pa

from talkoot.core.errors import DataError, PlanError
from talkoot.core.sync import duration
from talkoot.learners.online.features import require_exact
from talkoot.learners.online.model import OnlineModel
from talkoot.stream.drift.monitor import Monitor
from talkoot.stream.features.features import WindowFeatures
from talkoot.stream.follow.beginning import PEEK, beginning, require_same_beginning
from talkoot.stream.follow.columns import Columns, clock_of, columns_of, require_labels
from talkoot.stream.follow.cursor import Gone
from talkoot.stream.follow.late.waiting import ID, TIME
from talkoot.stream.follow.model import Until
from talkoot.stream.follow.rows import Label, label_of
from talkoot.stream.follow.rules import Late, Rules
from talkoot.stream.follow.windows import require_features
from talkoot.stream.labels.labels import Labels
from talkoot.stream.sources.source import EARLIEST, Chunk, Source
from talkoot.stream.store import Store

PATIENCE = 0.2  # seconds that one partition is waited for meanwhile
Roles = Mapping[str, str | None]  # the columns that are the target, the time and the id


@final
@dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """A stream that is to be followed, before its rows are looked at.

    Args:
        source: the stream.
        model: what is learned.
        roles: the columns that are the target, the time and the id.
        until: when to stop.
        labels: how labels find their rows, where they come later.
        features: windows over its rows.
    """

    source: Source
    model: OnlineModel
    roles: Roles
    until: Until
    labels: Labels | None
    features: WindowFeatures | None

    @classmethod
    def of(
        cls,
        source: Source,
        model: OnlineModel,
        roles: Roles,
        until: Until,
        labels: Labels | None,
        features: WindowFeatures | None,
    ) -> Opening:
        """The same, where what labels and windows name need not be named twice.

        Raises:
            PlanError: labels cannot come later for this model, or do not tell what is needed.
        """
        if labels is not None:
            _require_labels(model, roles["target"], labels)
        own: Roles = {"time": None if features is None else features.time, "id": None}
        if labels is not None:
            own = {"time": labels.time, "id": labels.id}
        for role, name in own.items():
            if name is not None and roles[role] not in (None, name):
                cause = f"{role}={roles[role]!r} was given, and labels= or features= name {name!r}"
                raise PlanError(cause, cure="Name one of them.")
        found = {role: own.get(role) or name for role, name in roles.items()}
        return cls(source, model, found, until, labels, features)

    def rules(
        self, store: Store, adds: bool, grace: float | None, gone: Gone, watch: Monitor | None
    ) -> Rules:
        """How the stream is followed; see `Rules`.

        Raises:
            DataError, PlanError: as `columns` and `late`.
        """
        columns = self.columns(store)
        return Rules(self.model, columns, adds, grace, gone, watch, self.late(columns), self.features)

    def columns(self, store: Store) -> Columns:
        """What the columns are: as stored, or found in the first rows.

        Raises:
            DataError: there are no rows, or a column is missing or of a type that cannot be used.
        """
        stored = store.get("columns")
        if stored is not None:
            columns = Columns(**stored)
            if (before := store.get("beginning")) is not None:
                require_same_beginning(self.source, columns, before)
            return columns
        partition, chunk = _first_rows(self.source, self.until)
        batch = chunk.batch
        columns, target = self._found(batch)
        for name in columns.numbers:
            require_exact(batch.column(name), name)
        if columns.labels is not None and target is not None:
            require_labels(target, self.roles["target"], self.model.task)
        if self.features is not None:
            partitions = len(self.source.partitions())
            require_features(self.features, batch, self.roles, partitions, self.labels)
            columns = replace(columns, windows=self.features.names)
        begins = beginning(partition, chunk, columns)
        store.commit({"columns": asdict(columns), "beginning": begins})
        return columns

    def _found(self, batch: pa.RecordBatch) -> tuple[Columns, pa.Array | None]:
        """The columns, and the first values of the target."""
        if self.labels is not None:
            return _late_columns(batch.schema, self.model, self.roles, self.labels)
        columns = columns_of(batch.schema, self.model.task, **self.roles)
        return columns, None if columns.target is None else batch.column(columns.target)

    def late(self, columns: Columns) -> Late | None:
        """How labels find their rows, where they come later.

        Raises:
            PlanError: the label of rows that mature is not of the type of the others.
        """
        if self.labels is None:
            return None
        labels = self.labels
        first: tuple[Label, ...] = ()
        negative: Any = labels.negative if labels.mature is not None else None
        if negative is not None and columns.labels is not None:
            label = label_of(negative, columns.labels)
            if label is None:
                raise PlanError(
                    f"Labels(negative={negative!r}) is no label of type {columns.labels}, as the others are",
                    cure="Write the label of rows that mature, or negative=None to leave such rows out.",
                )
            negative, first = 0, (label,)
        mature = duration(labels.mature)
        rule = replace(labels, source=None, id=ID, time=TIME, negative=negative, mature=mature)
        own = Columns(
            numbers=(),
            categories=(labels.id,),
            target=self.roles["target"],
            labels=columns.labels,
            time=labels.arrives,
            clock=columns.clock,
            id=labels.id,
        )
        return Late(rule, own, first)

    def about(self) -> dict[str, str | None]:
        """What a store is of."""
        parts = {"labels": self.labels, "features": self.features}
        return {**self.roles, **{name: None if part is None else repr(part) for name, part in parts.items()}}


def _require_labels(model: OnlineModel, target: str | None, labels: Labels) -> None:
    if model.needs_labels_at_once:
        raise PlanError(
            f"{model!r} reads the label of the row before, and labels come later here",
            cure="Take the model that it holds, without tk.online.Lagged.",
        )
    if model.task == "clusters":
        raise PlanError(f"{type(model).__name__} learns without labels", cure="Leave out labels=.")
    needed = {"target": target, "Labels(time)": labels.time, "Labels(arrives)": labels.arrives}
    missing = [name for name, value in needed.items() if value is None]
    if labels.source is None or missing:
        what = "the stream that they come from" if labels.source is None else f"{missing[0]}="
        raise PlanError(
            f"labels= lacks {what}",
            cure='Write labels=tk.Labels(stream, id="payment", time="when", arrives="reported").',
        )


def _late_columns(
    schema: pa.Schema, model: OnlineModel, roles: Roles, labels: Labels
) -> tuple[Columns, pa.Array | None]:
    """The columns of rows whose target is in another stream, and the first values of the target."""
    target = str(roles["target"])
    first = _now(labels.source)
    if first is not None:
        own = (target, labels.id, labels.arrives)
        missing = [name for name in own if name is not None and name not in first.schema.names]
        if missing:
            raise DataError(
                f"the stream of labels has no column {missing[0]!r}",
                cure=f"Its columns are {', '.join(first.schema.names)}.",
            )
        field = first.schema.field(target)
    elif model.task == "number":
        field = pa.field(target, pa.float64())
    elif labels.negative is not None:
        field = pa.field(target, pa.scalar(labels.negative).type)
    else:
        raise DataError(
            "no label has come yet, so it is not known what labels are",
            cure="Name the label of most rows, such as Labels(negative=0), or begin when a label is there.",
        )
    at = schema.get_field_index(target)
    rows = schema if at < 0 else schema.remove(at)
    found = columns_of(rows.append(field), model.task, target=target, time=roles["time"], id=roles["id"])
    unread = () if at < 0 else (target,)
    arrives = str(labels.arrives)
    if first is not None and clock_of(first.schema.field(arrives)) != found.clock:
        raise DataError(
            f"times of rows are {schema.field(str(roles['time'])).type}, and those of labels "
            f"{first.schema.field(arrives).type}, so it is not known which came first",
            column=arrives,
            cure="Write both as dates, or both as numbers.",
        )
    columns = replace(found, target=None, ignored=(*found.ignored, *unread))
    return columns, None if first is None else first.column(target)


def _now(source: Source) -> Any:
    """The first rows that are there just now; None if there are none."""
    for partition in source.partitions():
        with source.open(partition) as reader:
            chunk = reader.poll(PEEK, PATIENCE)
            if chunk is not None and chunk.batch.num_rows:
                return chunk.batch
    return None


def _first_rows(source: Source, until: Until) -> tuple[str, Chunk]:
    """A partition that has rows, and the first of them; waits for them.

    Raises:
        DataError: there are none.
    """
    with ExitStack() as stack:
        readers = {name: stack.enter_context(source.open(name)) for name in source.partitions()}
        for reader in readers.values():
            reader.seek(EARLIEST)
        while True:
            for partition, reader in readers.items():
                chunk = reader.poll(PEEK, PATIENCE)
                if chunk is not None and chunk.batch.num_rows:
                    return partition, chunk
            ended = all(reader.ended() for reader in readers.values())
            dry = until.end and all(reader.dry() for reader in readers.values())
            if ended or dry or (until.time is not None and time.monotonic() >= until.time):
                raise DataError(
                    f"{source!r} has no rows, so there is nothing to learn from",
                    cure="Look at its address, or follow with until=None to wait for rows.",
                )

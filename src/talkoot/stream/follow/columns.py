"""What the columns of a stream are for, and of which kind; found in its first rows, the same at all nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from talkoot.core.errors import DataError
from talkoot.learners.online.features import Layout
from talkoot.learners.online.model import Task

Labels = Literal["bool", "int", "float", "text"]  # what the labels of classes are
Clock = Literal["number", "time"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The roles of columns.

    Args:
        numbers: features that are numbers, in their order.
        categories: features that are text.
        target: what is predicted; None for clusters.
        labels: what its labels are, where it is a class.
        time: when a row happened.
        clock: whether that is a number or a date; dates may be text such as 2026-03-01T12:00:00Z.
        id: what names a row.
        ignored: columns of other types, or without any value, which no model reads.
        windows: columns that are computed of the rows before, behind the other numbers.
    """

    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    target: str | None = None
    labels: Labels | None = None
    time: str | None = None
    clock: Clock = "number"
    id: str | None = None
    ignored: tuple[str, ...] = ()
    windows: tuple[str, ...] = ()

    @property
    def known(self) -> frozenset[str]:
        """All columns that the first rows had."""
        roles = (name for name in (self.target, self.time, self.id) if name is not None)
        return frozenset((*self.numbers, *self.categories, *self.ignored, *roles))

    def layout(self, classes: int) -> Layout:
        """What a model must know of them."""
        return Layout(numbers=(*self.numbers, *self.windows), categories=self.categories, classes=classes)


def columns_of(
    schema: pa.Schema, task: Task, *, target: str | None, time: str | None, id: str | None
) -> Columns:
    """The columns of a stream.

    Args:
        schema: of its first rows.
        task: what the model predicts.
        target: the target's name.
        time: the name of the column that says when a row happened.
        id: the name of the column that names a row.

    Raises:
        DataError: a column is not there, or the target is of a type that cannot be one.

    >>> schema = pa.schema({"amount": pa.float64(), "shop": pa.string(), "fraud": pa.int64()})
    >>> columns_of(schema, "binary", target="fraud", time=None, id=None).categories
    ('shop',)
    """
    for role, name in (("target", target), ("time", time), ("id", id)):
        if name is not None and name not in schema.names:
            raise DataError(
                f"{role}={name!r} is no column of the stream",
                cure=f"The columns are {', '.join(schema.names)}.",
            )
    if target is None and task != "clusters":
        names = ", ".join(schema.names)
        raise DataError("there is no target", cure=f"Say which with target=, one of {names}.")
    features = [field for field in schema if field.name not in (target, time, id)]
    numbers = tuple(field.name for field in features if is_number(field.type))
    categories = tuple(field.name for field in features if is_text(field.type))
    if not numbers and not categories:
        left = ", ".join(f"{field.name} ({field.type})" for field in features) or "none"
        raise DataError(
            f"there is no column to learn from; besides those with a role: {left}",
            cure="Numbers, booleans and text can be learned from.",
        )
    known = {*numbers, *categories}
    return Columns(
        numbers=numbers,
        categories=categories,
        target=target,
        labels=None if target is None else _labels(schema.field(target), task),
        time=time,
        clock="number" if time is None else clock_of(schema.field(time)),
        id=id,
        ignored=tuple(field.name for field in features if field.name not in known),
    )


def require_labels(target: pa.Array, name: str | None, task: Task) -> None:
    """Refuse a target whose first values are no labels that a model can tell apart.

    Raises:
        DataError: numbers with fractions, or more than two labels for a model of two classes.
    """
    labels = pc.unique(pc.drop_null(target))
    if types.is_floating(target.type):
        numbers = labels.to_numpy(zero_copy_only=False)
        broken = numbers[np.isfinite(numbers) & (numbers != np.floor(numbers))]
        if len(broken):
            raise DataError(
                f"the target holds numbers such as {broken[0]:g}, and the model predicts classes",
                column=name,
                cure="Take tk.online.Linear() or another model of numbers, or make classes of them.",
            )
    if task == "binary" and len(labels) > 2:
        raise DataError(
            f"the target has {len(labels)} labels in the first rows, such as {labels[2].as_py()!r}, and the "
            "model tells two apart",
            column=name,
            cure="Take tk.online.Softmax() or another model of several classes, or another target=.",
        )


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of a type is read as numbers."""
    return bool(
        types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of a type is read as categories."""
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def is_time(kind: pa.DataType) -> bool:
    """Whether a column of a type holds dates."""
    return bool(types.is_timestamp(kind) or types.is_date(kind))


def _labels(field: pa.Field, task: Task) -> Labels | None:
    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    if task == "number" and is_number(kind):
        return None
    if task in ("binary", "classes") and is_text(kind):
        return "text"
    if task in ("binary", "classes") and is_number(kind) and not types.is_decimal(kind):
        return "bool" if types.is_boolean(kind) else "int" if types.is_integer(kind) else "float"
    wanted = "numbers" if task == "number" else "labels: text, whole numbers or booleans"
    raise DataError(
        f"the target holds {field.type}, and the model predicts {wanted}",
        column=field.name,
        cure="Take another target=, or another model.",
    )


def clock_of(field: pa.Field) -> Clock:
    """Whether a column holds times as dates or as numbers.

    Raises:
        DataError: it holds neither.
    """
    if is_time(field.type) or is_text(field.type):
        return "time"
    if is_number(field.type):
        return "number"
    raise DataError(
        f"time={field.name!r} holds {field.type}, which is neither a date nor a number",
        cure="Write times as timestamps, or as numbers such as seconds since 1970.",
    )

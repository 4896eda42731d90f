"""Values of messages as rows: JSON, Arrow IPC, or whatever a function of yours decodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Annotated, Any, final

import msgspec
import pyarrow as pa

from talkoot.core.errors import DataError, PlanError

Types = tuple[tuple[str, str], ...]  # names of columns and of their types
TYPES: dict[str, tuple[Any, Any]] = {  # name -> what is accepted, and Arrow's type of it
    "float64": (float, pa.float64()),
    "int64": (Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)], pa.int64()),
    "bool": (bool, pa.bool_()),
    "string": (str, pa.string()),
    "timestamp": (datetime, pa.timestamp("us", "UTC")),
}
EXACT = 2**53  # whole numbers beyond it lose digits as floats
DECLARE = 'Name the columns and their types, such as columns={"amount": "float64"}.'
Undecodable = (
    msgspec.MsgspecError,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    pa.ArrowException,
    OSError,
)


@final
@dataclass(frozen=True, slots=True)
class Values:
    """How the values of messages are decoded.

    Args:
        form: ``"json"``: one object, one row. ``"arrow"``: an Arrow IPC stream, any number of rows. Else a
            function by the name it is imported by, ``"package.module:function"``: bytes in, a dict out.
        columns: names and types of the columns: float64, int64, bool, string, timestamp. What else a message
            has is left out; what it lacks is missing. Not for Arrow, which has types of its own.
    """

    form: str = "json"
    columns: Types | None = None

    def __post_init__(self) -> None:
        if self.form not in ("json", "arrow") and ":" not in self.form:
            cure = "Take 'json', 'arrow' or a function's name, 'package.module:function'."
            raise PlanError(f"values={self.form!r} is unknown", cure=cure)
        if self.form == "arrow" and self.columns is not None:
            raise PlanError("Arrow's values have types of their own", cure="Leave columns= out.")
        for name, kind in self.columns or ():
            if kind not in TYPES:
                cure = f"Take one of {', '.join(TYPES)}."
                raise PlanError(f"column {name!r} has the unknown type {kind!r}", cure=cure)

    @property
    def by_rows(self) -> bool:
        """Whether each message is one row."""
        return self.form != "arrow"

    def parse(self) -> Callable[[bytes], Any]:
        """What makes a dict of a message."""
        if self.form == "json":
            return msgspec.json.decode
        module, _, name = self.form.partition(":")
        try:
            function: Callable[[bytes], Any] = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            cure = "Install the module where the stream is read."
            raise PlanError(f"values={self.form!r} cannot be imported: {error}", cure=cure) from None
        return function


def pairs(columns: Mapping[str, str] | Types | None) -> Types | None:
    """Columns as a tuple that can be compared and sent."""
    return tuple(dict(columns).items()) if columns is not None else None


class RowDecoder:
    """Rows of messages that are one row each, checked against the types of the columns."""

    def __init__(self, values: Values) -> None:
        assert values.columns is not None
        self._columns = values.columns
        keys = [(f"c{i}", TYPES[kind][0] | None, None) for i, (_, kind) in enumerate(self._columns)]
        names = {f"c{i}": name for i, (name, _) in enumerate(self._columns)}
        self._row = msgspec.defstruct("Row", keys, rename=names)
        self._json = msgspec.json.Decoder(self._row) if values.form == "json" else None
        self._parse = values.parse()
        self.schema = pa.schema([(name, TYPES[kind][1]) for name, kind in self._columns])

    def decode(self, values: Sequence[bytes | None]) -> tuple[Any, list[tuple[int, str]]]:
        """The rows as one batch, and for each message without a row its index and what is wrong with it."""
        rows, wrong = [], []
        for at, value in enumerate(values):
            try:
                rows.append(self._decoded(value))
            except Undecodable as error:
                wrong.append((at, f"{error}" or type(error).__name__))
        columns = [
            pa.array([getattr(row, f"c{i}") for row in rows], kind)
            for i, kind in enumerate(self.schema.types)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema), wrong

    def _decoded(self, value: bytes | None) -> Any:
        if value is None:
            raise ValueError("the message has no value")
        row = self._json.decode(value) if self._json else msgspec.convert(self._parse(value), self._row)
        if all(getattr(row, key) is None for key in self._row.__struct_fields__):
            raise ValueError(
                f"the message has none of the columns {', '.join(name for name, _ in self._columns)}"
            )
        return row


def batch_of(value: bytes | None) -> Any:
    """The rows of a message in Arrow's IPC format, as one batch."""
    if value is None:
        raise ValueError("the message has no value")
    table = pa.ipc.open_stream(value).read_all().combine_chunks()
    batch = table.to_batches()[0] if table.num_rows else pa.RecordBatch.from_pylist([], schema=table.schema)
    batch.validate(full=True)
    return batch


def types_of(values: Values, messages: Sequence[bytes | None]) -> Types:
    """The types of the columns of some first messages; those that cannot be parsed are passed over.

    Numbers are float64, but for columns of whole numbers beyond 2**53.

    Raises:
        DataError: no message can be parsed, or a column holds several kinds of values.
    """
    parse, rows = values.parse(), []
    for value in messages:
        try:
            rows.append(parse(value or b""))
        except Undecodable:
            continue
    rows = [row for row in rows if isinstance(row, Mapping)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        cure = f"{DECLARE} Or wait until there are rows."
        raise DataError("the types of the columns cannot be found: no message has any", cure=cure)
    return tuple((name, _type_of(name, [row.get(name) for row in rows])) for name in names)


def _type_of(name: str, values: Sequence[Any]) -> str:
    """The name of the type of a column; float64 where no value is there."""
    found = [value for value in values if value is not None]
    kinds = {bool if isinstance(v, bool) else float if isinstance(v, int | float) else type(v) for v in found}
    if kinds <= {float}:
        large = any(isinstance(value, int) and abs(value) > EXACT for value in found)
        return "int64" if large and all(isinstance(value, int) for value in found) else "float64"
    if kinds == {bool}:
        return "bool"
    if kinds == {str}:
        return "timestamp" if all(map(_is_time, found)) else "string"
    if kinds == {datetime}:
        return "timestamp"
    what = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise DataError(f"it holds values of the kind {what}", column=name, cure=DECLARE)


def _is_time(text: str) -> bool:
    try:
        msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return False
    return True

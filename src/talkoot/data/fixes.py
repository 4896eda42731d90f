"""Fixes of columns that organisations agree on after a check, as data; each site applies its own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.data.roles import unknown
from talkoot.data.tables.strays import is_number

if TYPE_CHECKING:
    import pyarrow as pa

    from talkoot.data.tables.source import Source

Value = str | float
MAX_VALUES = 100  # that a fix can name: people have to read them


@final
@dataclass(frozen=True, slots=True)
class Fix:
    """What a site changes in a column, in this order; see `fix`."""

    column: str
    at: tuple[str, ...] = ()
    missing: tuple[Value, ...] = ()
    values: tuple[tuple[Value, Value], ...] = ()
    times: float = 1.0
    plus: float = 0.0
    rename: str = ""

    def __post_init__(self) -> None:
        values = (*self.missing, *(value for pair in self.values for value in pair))
        texts = [self.column, self.rename, *self.at, *filter(_is_text, values)]
        if not self.column or not all(str(text).isprintable() for text in texts):
            raise DataError("a fix names a column, and its texts are printable", column=self.column or None)
        if len(values) > MAX_VALUES:
            raise DataError(
                f"a fix names at most {MAX_VALUES} values",
                column=self.column,
                cure="Have the site change more than that in its own rows.",
            )
        if not (math.isfinite(self.times) and math.isfinite(self.plus) and self.times):
            raise DataError(f"times={self.times} and plus={self.plus} convert nothing", column=self.column)
        if (values, self.times, self.plus, self.rename) == ((), 1.0, 0.0, ""):
            cure = "Give missing=, values=, times=, plus= or rename=."
            raise DataError("this fix changes nothing", column=self.column, cure=cure)

    def __str__(self) -> str:
        """What it does, in words."""
        parts = []
        if self.missing:
            parts.append(f"{', '.join(map(_shown, self.missing))} counts as a missing value")
        if self.values:
            parts.append(", ".join(f"{_shown(old)} is read as {_shown(new)}" for old, new in self.values))
        if self.times != 1:
            parts.append(f"numbers are multiplied by {self.times:g}")
        if self.plus:
            parts.append(f"{self.plus:g} is added to numbers")
        if self.rename:
            parts.append(f"it is called {self.rename!r}")
        where = f"at {', '.join(self.at)}" if self.at else "at every site"
        return f"column {self.column!r} {where}: {'; '.join(parts)}"


def fix(
    column: str,
    *,
    at: str | Sequence[str] = (),
    missing: Sequence[Any] = (),
    values: Mapping[Any, Any] | None = None,
    times: float = 1.0,
    plus: float = 0.0,
    rename: str = "",
) -> Fix:
    """What sites change in a column before anything else, as agreed after a check.

    It is part of what is proposed, so each site reads it before it approves, and applies it to its own rows.

    Args:
        column: the column, as those sites name it.
        at: the sites, or one; all by default.
        missing: values that stand for a missing one, such as ``[-9]`` or ``["?"]``.
        values: what is written otherwise than elsewhere, such as ``{"M": "male"}``.
        times: a factor, for another unit.
        plus: what is added after that.
        rename: how the others call the column.

    Raises:
        DataError: it changes nothing, or names too many values.

    >>> print(fix("chol", at="zurich", missing=[0], times=38.67))
    column 'chol' at zurich: 0 counts as a missing value; numbers are multiplied by 38.67
    """
    return Fix(
        column,
        at=(at,) if isinstance(at, str) else tuple(at),
        missing=tuple(map(_value, missing)),
        values=tuple((_value(old), _value(new)) for old, new in (values or {}).items()),
        times=float(times),
        plus=float(plus),
        rename=rename,
    )


def fixes_at(node: str, fixes: Iterable[Fix]) -> tuple[Fix, ...]:
    """The fixes of one node."""
    return tuple(each for each in fixes if not each.at or node in each.at)


def fixed(source: Source, fixes: Sequence[Fix]) -> pa.Table:
    """The rows of a source with fixes applied, in memory.

    Raises:
        DataError: a column that is not there, a name that is taken, or values that do not go together.
    """
    import pyarrow as pa  # a coordinator knows fixes and applies none

    columns = _columns(source)
    for each in fixes:
        if each.column not in columns:
            raise unknown(each.column, list(columns), "a fix")
        if each.rename in {*columns} - {each.column}:
            raise DataError(
                f"it is to be renamed {each.rename!r}, which is there already", column=each.column
            )
        columns[each.column] = _applied(each, columns[each.column])
        names = {each.column: each.rename or each.column}
        columns = {names.get(name, name): values for name, values in columns.items()}
    return pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})


def _columns(source: Source) -> dict[str, np.ndarray]:
    """All columns that can be learned from: numbers, or objects of str and None."""
    layout = source.layout()
    names, parts = layout.schema().labels, []
    for block in source.blocks():
        X = block.X if isinstance(block.X, Mapping) else dict(zip(names, block.X.T, strict=True))
        parts.append(X)
    if not parts:
        return {name: np.zeros(0) for name in names}
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _applied(each: Fix, values: np.ndarray) -> np.ndarray:
    found = list(_replaced(each, values.tolist()))
    known = [value for value in found if value is not None and value == value]
    texts = [_is_text(value) for value in known]
    if all(texts) and known and values.dtype.kind in "OU" and all(map(is_number, known)):
        found, texts = [None if value is None else float(value) for value in found], []
    if any(texts):
        if not all(texts):
            raise DataError("a fix leaves numbers and texts side by side", column=each.column)
        if (each.times, each.plus) != (1.0, 0.0):
            raise DataError("a fix multiplies texts", column=each.column)
        return np.array(found, dtype=object)
    return np.array(found, dtype=np.float64) * each.times + each.plus


def _replaced(each: Fix, values: Iterable[Any]) -> Iterator[Any]:
    missing, instead = {*each.missing}, dict(each.values)
    for value in values:
        yield None if value in missing else instead.get(value, value)


def _value(given: Any) -> Value:
    if isinstance(given, str):
        return given
    try:
        return float(given)
    except (TypeError, ValueError):
        raise DataError(f"{given!r:.40} is no number and no text, as a fix needs") from None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _shown(value: Value) -> str:
    return repr(value) if isinstance(value, str) else f"{value:g}"

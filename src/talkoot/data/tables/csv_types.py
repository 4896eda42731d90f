"""The type of each column of a CSV file over all of its rows, as pandas.read_csv infers it."""

from __future__ import annotations

import re
from typing import Any, final

import numpy as np
import pyarrow as pa

from talkoot.data.paths import cached_by_file, open_bytes
from talkoot.data.tables.csv_files import FALSE, PLAIN, TRUE, CsvFormat, header, open_csv
from talkoot.data.tables.facts import Facts
from talkoot.data.tables.reading import WRONG

WHOLE = re.compile(r"\s*-?\d+\s*")
INTS = pa.large_string()  # marks text that holds only whole numbers, too large for 64 bits
MAX_REMEMBERED = 1 << 24  # numbers of a nameless column that are stored to check that they are distinct


def column_facts(path: str, columns: tuple[str, ...], form: CsvFormat = PLAIN) -> dict[str, Facts]:
    """Facts about columns over all rows of a file, each found once while the file is unchanged."""
    found = _found(path, form)
    if missing := [name for name in columns if name not in found]:
        found.update(_column_facts(path, missing, form))
    return {name: found[name] for name in columns}


@cached_by_file
def _found(path: str, form: CsvFormat) -> dict[str, Facts]:
    """Where the facts about a file are stored."""
    return {}


def _column_facts(path: str, columns: list[str], form: CsvFormat) -> dict[str, Facts]:
    with open_csv(path, columns, {}, form) as reader:
        first = next(iter(reader), None)
        types = {k.name: _start(k.type, first and first.column(k.name)) for k in reader.schema}
    seen, hexes = _scan(path, types, form)
    whole = [name for name, kind in types.items() if pa.types.is_integer(kind) and seen[name].known]
    if hexes and whole:  # Arrow reads 0x10 as 16, pandas as text
        floats = dict.fromkeys(whole, pa.float64())
        _scan(path, floats, form)
        types |= {name: kind for name, kind in floats.items() if kind == pa.string()}
    return {name: seen[name].facts(kind) for name, kind in types.items()}


def _scan(path: str, types: dict[str, pa.DataType], form: CsvFormat) -> tuple[dict[str, _ColumnScan], bool]:
    """Read the whole file, widening `types` until they fit; also whether it contains "0x"."""
    order = header(path, form).names
    while True:
        seen = {name: _ColumnScan() for name in types}
        raw = _HexDetector(open_bytes(path), form)
        known = {name: pa.string() if kind == INTS else kind for name, kind in types.items()}
        try:
            with open_csv(path, list(types), known, form, raw) as reader:
                wrong = next((w for batch in reader if (w := _first_misfit(batch, types, seen))), None)
        except pa.ArrowInvalid as error:
            found = WRONG.search(str(error))
            if found is None or order[int(found[1])] not in types:
                raise
            wrong = order[int(found[1])], found[3]
        if wrong is None:
            return seen, raw.hexes
        types[wrong[0]] = _wider(types[wrong[0]], wrong[1], seen[wrong[0]].known)


def _first_misfit(
    batch: Any, types: dict[str, pa.DataType], seen: dict[str, _ColumnScan]
) -> tuple[str, str] | None:
    """Scan a batch; return a column whose type does not fit, with such a value."""
    for name, kind in types.items():
        if (value := seen[name].look(batch.column(name), kind)) is not None:
            return name, value
    return None


def _start(kind: pa.DataType, column: Any) -> pa.DataType:
    """The first type to try, from what Arrow infers for the first block. Dates are text, as in pandas."""
    if pa.types.is_floating(kind) and column is not None:
        values = column.drop_null().to_numpy()
        if (values == np.floor(values)).all() and np.abs(values).max(initial=0) >= 2.0**63:
            return pa.uint64()
    if pa.types.is_null(kind) or pa.types.is_integer(kind):
        return pa.int64()
    return kind if pa.types.is_boolean(kind) or pa.types.is_floating(kind) else pa.string()


def _wider(kind: pa.DataType, value: str, known: bool) -> pa.DataType:
    """The next type to try for a column with `value`; `known` if earlier values did fit."""
    whole = WHOLE.fullmatch(value) is not None
    if kind == pa.int64() and value.strip() in (*TRUE, *FALSE) and not known:
        return pa.bool_()
    if kind == pa.int64():
        return pa.uint64() if whole else pa.float64()
    if kind == pa.uint64():
        return INTS if whole else pa.float64()
    return pa.float64() if kind == INTS else pa.string()


@final
class _ColumnScan:
    """Facts about a column, gathered batch by batch."""

    def __init__(self) -> None:
        self.known, self.nulls, self.low, self.high = False, False, 0, 0

    def look(self, column: Any, kind: pa.DataType) -> str | None:
        """Scan a batch; return a value that does not fit, if there is one."""
        import pyarrow.compute as pc  # a tenth of a second that most rows do without

        self.nulls = self.nulls or column.null_count > 0
        if column.null_count == len(column):
            return None
        self.known = True
        if pa.types.is_integer(kind):
            ends = pc.min_max(column)
            self.low, self.high = min(self.low, ends["min"].as_py()), max(self.high, ends["max"].as_py())
        odd = None
        if kind == INTS:
            odd = pc.invert(pc.match_substring_regex(column, r"^\s*-?\d+\s*$"))
        elif pa.types.is_floating(kind):  # Arrow reads Nan and NAN as numbers, pandas as text
            odd = pc.is_nan(column)
        if odd is None or not pc.any(odd).as_py():
            return None
        return str(column.filter(odd)[0].as_py())

    def facts(self, kind: pa.DataType) -> Facts:
        """The facts over all rows."""
        if not self.known:
            return Facts(type=pa.null(), nulls=self.nulls, known=False, stored="float64")
        if kind == INTS or (kind == pa.uint64() and self.nulls):
            return Facts(type=pa.string(), nulls=self.nulls)
        return Facts(type=kind, nulls=self.nulls, low=self.low, high=self.high)


@final
class _HexDetector:
    """An open file that records whether "0x" was read."""

    def __init__(self, raw: Any, form: CsvFormat) -> None:
        self.raw, self.tail = raw, b""
        self.hexes = "0x".encode(form.encoding)[-2:] != b"0x"  # other encodings are not searched
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        """Read some bytes."""
        found: bytes = self.raw.read(size)
        if not self.hexes:
            text = self.tail + found[:1]
            self.hexes = any(sign in part for sign in (b"0x", b"0X") for part in (text, found))
            self.tail = found[-1:] or self.tail
        return found

    def readable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Close the file."""
        self.closed = True
        self.raw.close()


@cached_by_file
def numbers_rows(path: str, name: str, form: CsvFormat = PLAIN) -> bool:
    """Whether a column numbers the rows: whole numbers, none missing, each once."""
    facts = column_facts(path, (name,), form)[name]
    if not pa.types.is_integer(facts.type):
        return pa.types.is_null(facts.type) and not facts.nulls
    if facts.nulls:
        return False
    rising, parts, rows = True, list[np.ndarray](), 0
    with open_csv(path, [name], {name: facts.type}, form) as reader:
        for batch in reader:
            values = batch.column(0).to_numpy(zero_copy_only=False)
            last = parts[-1][-1:] if parts else values[:0]
            rising = rising and bool((np.diff(np.concatenate([last, values])) > 0).all())
            rows += len(values)
            if rows > MAX_REMEMBERED and not rising:
                return False
            parts = [*parts, values] if rows <= MAX_REMEMBERED else [values]
    return rising or len(np.unique(np.concatenate(parts))) == rows

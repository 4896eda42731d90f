"""CSV files: header, encoding, and streaming reads."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, final

import pyarrow as pa
import pyarrow.csv as pc

from talkoot.core.errors import DataError
from talkoot.data.paths import cached_by_file, open_bytes, open_file

Types = Mapping[str, pa.DataType]

# Texts for missing values, as in pandas.read_csv.
MISSING = ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"]
MISSING += ["<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"]
TRUE, FALSE = ["True", "TRUE", "true"], ["False", "FALSE", "false"]
UTF8 = "utf-8"
BLOCK = 1 << 20
# First bytes of other files that are named .csv, and the cure.
BEGINS = {
    b"\xff\xfe": 'It is written in UTF-16: say encoding="utf-16".',
    b"\xfe\xff": 'It is written in UTF-16: say encoding="utf-16".',
    b"\x1f\x8b": "It is compressed by gzip: let its name end with .csv.gz.",
    b"\x28\xb5\x2f\xfd": "It is compressed by zstd: let its name end with .csv.zst.",
    b"BZh": "It is compressed by bzip2: let its name end with .csv.bz2.",
    b"\xfd7zXZ": "It is compressed by xz: let its name end with .csv.xz.",
    b"PK\x03\x04": "It is a zip archive, or a workbook of a spreadsheet: save it as CSV.",
    b"PAR1": "It is a Parquet file: let its name end with .parquet.",
}


@final
@dataclass(frozen=True, slots=True)
class CsvFormat:
    """How CSV files are to be read."""

    encoding: str = UTF8  # how their text is encoded
    missing: tuple[str, ...] = ()  # texts that stand for a missing value, beside those of pandas.read_csv

    @property
    def utf8(self) -> bool:
        """Whether files are in UTF-8, with or without a byte order mark."""
        return codecs.lookup(self.encoding).name in ("utf-8", "utf-8-sig")


PLAIN = CsvFormat()


@final
@dataclass(frozen=True, slots=True)
class Header:
    """The first row of a CSV file."""

    names: tuple[str, ...]  # the columns' names; columns without a name get that of pandas, "Unnamed: 0"
    lines: int  # number of lines of the header
    nameless: bool  # whether the first column has no name
    alone: bool  # whether the file has no rows


@cached_by_file
def schema(path: str, form: CsvFormat = PLAIN) -> pa.Schema:
    """The columns of a CSV file, with the types that Arrow infers from its first block."""
    with open_csv(path, (), {}, form) as reader:
        return reader.schema


@cached_by_file
def header(path: str, form: CsvFormat = PLAIN) -> Header:
    """The header of a CSV file.

    Raises:
        DataError: the file is empty, or its text is not in the encoding.
    """
    encoding = "utf-8-sig" if form.utf8 else form.encoding
    with open_bytes(path) as raw, decode_errors(path, form):
        text = io.TextIOWrapper(raw, encoding=encoding, newline="")
        reader = csv.reader(text, delimiter=_delimiter(path))
        names = next((row for row in reader if row), None)
        if names is None:
            raise DataError(f"{path} is empty", cure="Write it again with a header, or leave it out.")
        if any("\0" in name for name in names):
            raise undecodable(path, form)
        filled = tuple(name or f"Unnamed: {i}" for i, name in enumerate(names))
        return Header(filled, reader.line_num, not names[0], not text.read(1))


@contextmanager
def open_csv(
    path: str, columns: Sequence[str], types: Types, form: CsvFormat = PLAIN, raw: Any = None
) -> Iterator[Any]:
    """A streaming reader of some columns (of all, if `columns` is empty), with known types.

    Types that are absent are inferred from the first block. `raw` is the file, if it is open already.

    Raises:
        DataError: the text is not in the encoding.
    """
    head = header(path, form)
    source: Any = open_file(path) if raw is None else raw
    if head.alone:  # Arrow needs the end of a line
        source = pa.BufferReader(b"\n")
    with decode_errors(path, form):
        reader = pc.open_csv(
            source,
            read_options=pc.ReadOptions(
                block_size=BLOCK,
                use_threads=False,
                column_names=list(head.names),
                skip_rows=1 if head.alone else head.lines,
                encoding="utf8" if form.utf8 or head.alone else form.encoding,
            ),
            parse_options=pc.ParseOptions(delimiter=_delimiter(path), newlines_in_values=True),
            convert_options=pc.ConvertOptions(
                column_types=dict(types),
                include_columns=list(columns) or None,
                strings_can_be_null=True,
                null_values=[*MISSING, *form.missing],
                true_values=TRUE,
                false_values=FALSE,
            ),
        )
        with closing(reader):
            yield reader


def _delimiter(path: str) -> str:
    return "\t" if ".tsv" in path.lower() else ","


@contextmanager
def decode_errors(path: str, form: CsvFormat) -> Iterator[None]:
    """Turn decoding errors into a `DataError` with place and cure."""
    try:
        yield
    except UnicodeError:
        raise undecodable(path, form) from None
    except pa.ArrowInvalid as error:
        if "invalid UTF8" in str(error):
            raise undecodable(path, form) from None
        raise


def undecodable(path: str, form: CsvFormat) -> DataError:
    """The error for a file that is not in its encoding, with the first bad byte and its line."""
    name = "UTF-8" if form.utf8 else form.encoding
    with open_bytes(path) as raw:
        begin = raw.read(8)
        cure = next((what for sign, what in BEGINS.items() if begin.startswith(sign)), "")
        if not cure and b"\0" in begin and form.utf8:
            little = begin[1:2] == b"\0"
            cure = f'It seems to be written in UTF-16: say encoding="utf-16-{"le" if little else "be"}".'
        raw.seek(0)
        where = _first_bad(raw, form.encoding)
    if not cure and form.utf8:
        cure = 'Say how it is encoded: encoding="cp1252" for most files of Windows, or encoding="latin-1".'
    return DataError(f"{path} is not written in {name}{where}", cure=cure or "Say another encoding=.")


def _first_bad(raw: Any, encoding: str) -> str:
    """The place of the first bytes that cannot be decoded, as the end of a sentence."""
    decoder, at, line = codecs.getincrementaldecoder(encoding)(), 0, 1
    while True:
        chunk = raw.read(BLOCK)
        before = decoder.getstate()[0]
        try:
            line += decoder.decode(chunk, final=not chunk).count("\n")
        except UnicodeDecodeError as error:
            line += error.object[: error.start].decode(encoding, errors="replace").count("\n")
            place = at - len(before) + error.start
            return f": byte 0x{error.object[error.start]:02X} at position {place}, in line {line}"
        except UnicodeError as error:
            return f": {error}"
        if not chunk:
            return ""
        at += len(chunk)

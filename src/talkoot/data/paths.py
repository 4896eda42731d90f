"""Paths, folders, globs and fsspec addresses as lists of files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import unquote
from zipfile import ZipFile

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from talkoot.core.errors import DataError

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")  # CSV may be compressed; the others are inside


def are_paths(data: Any) -> bool:
    """Whether `data` is a path, or a list of paths."""
    if isinstance(data, str | os.PathLike):
        return True
    return (
        isinstance(data, list | tuple) and bool(data) and all(isinstance(x, str | os.PathLike) for x in data)
    )


def expand(data: Any) -> tuple[str, ...]:
    """The files behind a path, folder, glob or list of these, each list in the order of its names.

    Files of a folder whose names start with a dot or an underscore, and those of formats that are not
    tables, are left out.

    Raises:
        DataError: nothing is there, or nothing that we can read.
    """
    return tuple(file for file, _ in files_with_folders(data))


def files_with_folders(data: Any) -> list[tuple[str, dict[str, Any]]]:
    """The files behind a path, folder, glob or list of these, with what their folders say: see `hive_values`.

    Below a folder that was named all folders count, of a glob those from its first sign on, of files in a
    list all, and of a single file none.

    Raises:
        DataError: as `expand`.
    """
    if isinstance(data, str | os.PathLike):
        files, below = _expand(os.fspath(data))
        values = hive_values(files, below) if below else [{} for _ in files]
    else:
        files = [file for spec in data for file in _expand(os.fspath(spec))[0]]
        values = hive_values(files)
    return list(zip(files, values, strict=True))


def _expand(spec: str) -> tuple[list[str], str]:
    """Files, and the folder below which folders say something; nothing where `spec` is a file."""
    if not spec.strip():
        raise DataError("a path is empty", cure='Name a file or a folder; "." is the present one.')
    try:
        fs, path = fsspec.core.url_to_fs(spec)
        signs = [at for at, sign in enumerate(path) if sign in "*?["]
        found = fs.glob(path) if signs else [path]
        files = sorted({file for match in found for file in fs.find(match)})
    except ImportError as error:
        raise DataError(f"{spec!r} cannot be reached", cure=f"{error}: pip install it.") from None
    except (ValueError, OSError) as error:
        raise DataError(f"{spec!r} cannot be listed: {error}", cure="Look at the address.") from None
    if not files:
        raise DataError(f"no file matches {spec!r}", cure=f"It was looked for at {path}.")
    known = [file for file in files if file in found or not PurePath(file).name.startswith((".", "_"))]
    known = [file for file in known if format_of(file) is not None]
    if not known:
        raise DataError(
            f"{files[0]!r} is no format that we read", cure=f"Files end with {', '.join(FORMATS)}."
        )
    below = path[: path.rindex("/", 0, signs[0]) + 1] if signs else path.rstrip("/") + "/"
    below = "" if known == [path] else below
    if isinstance(fs, LocalFileSystem):
        return known, below
    return [fs.unstrip_protocol(file) for file in known], below and fs.unstrip_protocol(below)


def format_of(path: str) -> str | None:
    """The format by the end of a name: "parquet", "csv" or "arrow"; None for others.

    >>> format_of("s3://bucket/a.csv.gz"), format_of("notes.txt")
    ('csv', None)
    """
    name = PurePath(path.lower())
    if name.suffix in PACKED:
        name = name.with_suffix("")
        return "csv" if FORMATS.get(name.suffix) == "csv" else None
    return FORMATS.get(name.suffix)


def stamp(path: str) -> str:
    """What changes when a file is written anew: its size, time and whatever else its store says."""
    fs, place = fsspec.core.url_to_fs(path)
    return repr(sorted(fs.info(place).items()))


def open_file(path: str) -> Any:
    """A path that Arrow opens by itself where the file is local and not compressed; else an open file."""
    packed = path.lower().endswith(PACKED)
    return path if "://" not in path and not packed else open_bytes(path)


def open_bytes(path: str) -> Any:
    """A file open for reading its bytes: those inside where it is compressed.

    Raises:
        DataError: an archive with several files, or none.
    """
    name = path.lower()
    match next((end for end in PACKED if name.endswith(end)), None):
        case ".zst":  # fsspec asks for a package of its own, and Arrow knows it anyway
            return pa.CompressedInputStream(fsspec.open(path, "rb").open(), "zstd")
        case ".zip":
            return _only_member(path)
        case packed:
            return fsspec.open(path, "rb", compression="infer" if packed else None).open()


def _only_member(path: str) -> Any:
    archive = ZipFile(fsspec.open(path, "rb").open())
    files = [f for f in archive.namelist() if not f.endswith("/") and not f.startswith("__MACOSX/")]
    if len(files) != 1:
        raise DataError(
            f"{path} holds {len(files)} files, and one is read", cure="Unpack it, and name the files."
        )
    return archive.open(files[0])


def hive_values(paths: Sequence[str], below: str = "") -> list[dict[str, Any]]:
    """What folders such as ``site=va/year=2020/``, as Hive names them, say about the rows of their files.

    As pyarrow.dataset reads them: a column whose values are all whole numbers of 32 bits is int32, others
    are text, and ``__HIVE_DEFAULT_PARTITION__`` is missing.

    Args:
        paths: the files.
        below: the folder below which folders count; all of a path's for none.

    Returns:
        For each path an Arrow scalar by column.

    >>> rows = hive_values(["c=01/s=a/x.csv", "c=2/s=b%20c/x.csv"])
    >>> [{k: v.as_py() for k, v in row.items()} for row in rows]
    [{'c': 1, 's': 'a'}, {'c': 2, 's': 'b c'}]
    """
    pairs = [_pairs(path.removeprefix(below)) for path in paths]
    names = dict.fromkeys(name for row in pairs for name in row)
    columns = {name: _column([row.get(name) for row in pairs]) for name in names}
    return [{name: column[i] for name, column in columns.items()} for i in range(len(paths))]


def _pairs(path: str) -> dict[str, str | None]:
    folders = (part.partition("=") for part in path.split("/")[:-1])
    found = {unquote(name): unquote(value) for name, sign, value in folders if sign and name}
    return {name: None if value == NO_VALUE else value for name, value in found.items()}


def _column(values: list[str | None]) -> Any:
    text = pa.array(values, pa.string())
    try:
        return text.cast(pa.int32())
    except pa.ArrowInvalid:
        return text

"""Paths, folders, globs and fsspec addresses as lists of files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from pathlib import PurePath
from typing import Any, TypeVar, cast
from urllib.parse import unquote
from zipfile import ZipFile

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from talkoot.core.errors import DataError

F = TypeVar("F", bound=Callable[..., Any])
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
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")  # endings of compressed CSV files


def are_paths(data: Any) -> bool:
    """Whether `data` is a path, or a list of paths."""
    if isinstance(data, str | os.PathLike):
        return True
    return (
        isinstance(data, list | tuple) and bool(data) and all(isinstance(x, str | os.PathLike) for x in data)
    )


def expand(data: Any) -> tuple[str, ...]:
    """The files of a path, folder, glob or list of these, sorted by name.

    Files in a folder whose names start with a dot or an underscore, and files of other formats, are left out.

    Raises:
        DataError: there are no files, or none of a known format.
    """
    return tuple(file for file, _ in files_with_folders(data))


def files_with_folders(data: Any) -> list[tuple[str, dict[str, Any]]]:
    """The files of a path, folder, glob or list of these, each with its `hive_values`.

    Folders count below a given folder, from the first wildcard of a glob on, all of them for files in a list,
    and none for a single file.

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
    """Files, and the folder below which folders count; empty where `spec` is a file."""
    if not spec.strip():
        raise DataError("a path is empty", cure='Name a file or a folder; "." is the current one.')
    try:
        fs, path = fsspec.core.url_to_fs(spec)
        wildcards = [at for at, sign in enumerate(path) if sign in "*?["]
        found = fs.glob(path) if wildcards else [path]
        files = sorted({file for match in found for file in fs.find(match)})
    except ImportError as error:
        raise DataError(f"{spec!r} cannot be reached", cure=f"{error}: pip install it.") from None
    except (ValueError, OSError) as error:
        raise DataError(f"{spec!r} cannot be listed: {error}", cure="Check the address.") from None
    if not files:
        raise DataError(f"no file matches {spec!r}", cure=f"It was searched for at {path}.")
    known = [file for file in files if file in found or not PurePath(file).name.startswith((".", "_"))]
    known = [file for file in known if format_of(file) is not None]
    if not known:
        raise DataError(
            f"{files[0]!r} is no format that we read", cure=f"Files end with {', '.join(FORMATS)}."
        )
    below = path[: path.rindex("/", 0, wildcards[0]) + 1] if wildcards else path.rstrip("/") + "/"
    below = "" if known == [path] else below
    if isinstance(fs, LocalFileSystem):
        return known, below
    return [fs.unstrip_protocol(file) for file in known], below and fs.unstrip_protocol(below)


def format_of(path: str) -> str | None:
    """The format by the ending of a name: "parquet", "csv" or "arrow"; None for others.

    >>> format_of("s3://bucket/a.csv.gz"), format_of("notes.txt")
    ('csv', None)
    """
    name = PurePath(path.lower())
    if name.suffix in PACKED:
        name = name.with_suffix("")
        return "csv" if FORMATS.get(name.suffix) == "csv" else None
    return FORMATS.get(name.suffix)


def stamp(path: str) -> str:
    """The metadata of a file, such as size and time, which change when it is overwritten."""
    fs, place = fsspec.core.url_to_fs(path)
    return repr(sorted(fs.info(place).items()))


def cached_by_file(function: F) -> F:
    """Cache a function of a file's path and hashable arguments as long as the file is unchanged."""

    @lru_cache(maxsize=256)
    def at_version(version: str, *args: Any, **options: Any) -> Any:
        return function(*args, **options)

    @wraps(function)
    def cached(path: str, *args: Any, **options: Any) -> Any:
        return at_version(stamp(path), path, *args, **options)

    return cast(F, cached)


def open_file(path: str) -> Any:
    """The path, for Arrow to open, where the file is local and not compressed; else an open file."""
    packed = path.lower().endswith(PACKED)
    return path if "://" not in path and not packed else open_bytes(path)


def open_bytes(path: str) -> Any:
    """A file open for reading its bytes, decompressed.

    Raises:
        DataError: an archive with several files, or none.
    """
    name = path.lower()
    match next((end for end in PACKED if name.endswith(end)), None):
        case ".zst":  # fsspec would need another package; Arrow can do it
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
    """Columns from Hive's names of folders, such as ``site=va/year=2020/``.

    As in pyarrow.dataset, a column whose values are all 32-bit whole numbers is int32, others are text, and
    ``__HIVE_DEFAULT_PARTITION__`` is missing.

    Args:
        paths: the files.
        below: the folder below which folders count; empty for all.

    Returns:
        For each path an Arrow scalar for each column.

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

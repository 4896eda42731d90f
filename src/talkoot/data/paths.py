"""Paths, folders, globs and fsspec addresses as lists of files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

import fsspec
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
    specs: Iterable[Any] = [data] if isinstance(data, str | os.PathLike) else data
    return tuple(file for spec in specs for file in _expand(os.fspath(spec)))


def _expand(spec: str) -> list[str]:
    try:
        fs, path = fsspec.core.url_to_fs(spec)
        found = fs.glob(path) if any(sign in path for sign in "*?[") else [path]
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
    return [file if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(file) for file in known]


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
    if "://" not in path and not packed:
        return path
    return fsspec.open(path, "rb", compression="infer" if packed else None).open()

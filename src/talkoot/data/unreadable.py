"""Errors for data that cannot be read: what they are, and the line of code that makes rows of them."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator, Mapping
from numbers import Number
from typing import Any

import numpy as np

from talkoot.core.errors import DataError

ROWS = (
    "Give paths, a pandas, polars or pyarrow table, a numpy array, a scipy.sparse matrix, (X, y), "
    "or a dict of named nodes."
)
SAMPLES = "Give paths, a table, arrays (X, y), a dataset of pairs (x, y), or a dict of named nodes."
CONCAT = {"pandas": "pandas.concat", "polars": "polars.concat", "pyarrow": "pyarrow.concat_tables"}

PATH = re.compile(r"[/\\\\*]|\.\w{1,9}$")  # frequent in paths, rare in other texts

# By the names of package and class, without importing them: what it is, and what to give instead.
KNOWN = {
    ("polars", "LazyFrame"): (
        "a lazy frame of polars, which holds no rows yet",
        "data.collect(), or the files that it scans",
    ),
    ("polars", "Series"): ("one column", "data.to_frame()"),
    ("pandas", "Series"): ("one column", "data.to_frame()"),
    ("pandas", "Index"): ("one column", "data.to_frame()"),
    ("pandas", "DataFrameGroupBy"): ("a table cut into groups", 'the table itself, with by="..."'),
    ("pandas", "TextFileReader"): ("a reader of parts", "the path of its file, which is read in blocks"),
    ("polars", "GroupBy"): ("a table cut into groups", 'the table itself, with by="..."'),
    ("pyarrow", "FileSystemDataset"): ("a dataset of pyarrow", "data.files, or data.to_table()"),
    ("pyarrow", "InMemoryDataset"): ("a dataset of pyarrow", "data.to_table()"),
    ("pyarrow", "UnionDataset"): ("a dataset of pyarrow", "data.to_table()"),
    ("pyarrow", "Scanner"): ("a scanner of pyarrow", "data.to_table()"),
    ("pyarrow", "ParquetFile"): ("an open file", "its path"),
    ("pyarrow", "ChunkedArray"): ("one column", 'pyarrow.table({"x": data})'),
    ("dask", "DataFrame"): ("a table of Dask", "data.compute(), or the files that it reads"),
    ("dask", "Array"): ("an array of Dask", "data.compute()"),
    ("pyspark", "DataFrame"): ("a table of Spark", "data.toPandas(), or the files that it reads"),
    ("datasets", "Dataset"): ("a dataset of Hugging Face", "data.to_pandas()"),
    ("datasets", "DatasetDict"): ("several datasets of Hugging Face", 'data["train"].to_pandas()'),
    ("xarray", "DataArray"): ("an array of xarray", "data.to_numpy()"),
    ("xarray", "Dataset"): ("a dataset of xarray", "data.to_dataframe()"),
    ("torch", "Dataset"): ("a dataset of torch", "arrays, or learn with a tk.Torch task"),
    ("talkoot", "Dataset"): (
        "a data set of a federation",
        "it to tk.fit, tk.run or tk.check, with on=tk.Federation(FOLDER)",
    ),
    ("torch", "DataLoader"): ("a loader of torch", "data.dataset to a tk.Torch task, or arrays"),
}


def unreadable(data: Any, read: np.ndarray | None = None, *, cure: str = ROWS) -> DataError:
    """The error for data that cannot be read.

    Args:
        data: the user's data.
        read: the data as a numpy array, if possible.
        cure: used where there is no more specific one.

    >>> print(unreadable(None))  # doctest: +ELLIPSIS
    there are no data: None was given. Give paths, a pandas, polars or pyarrow table, a numpy array, ...
    >>> print(unreadable([[1, 2], [3]]))
    these rows have 1 to 2 values. Give every row the same number of values.
    """
    for what, specific in _kinds_of(data):
        return DataError(what, cure=specific or cure)
    if read is not None and read.dtype.kind in "biuf":
        return _shape(read)
    if isinstance(data, np.ndarray):
        return _array(data)
    return DataError(f"data of type {type(data).__name__} cannot be read", cure=cure)


def _kinds_of(data: Any) -> Iterator[tuple[str, str | None]]:
    """What the data are, and a cure that is more specific than the list of all supported data, or None."""
    if data is None:
        yield "there are no data: None was given", None
    if inspect.isclass(data):
        yield f"{data.__name__} is a class, not data", "Give an object of it."
    if inspect.isroutine(data):
        yield f"{getattr(data, '__name__', 'this')} is a function, not data", "Give what it returns."
    if isinstance(data, bytes | bytearray | memoryview):
        yield "these are bytes", "Give the path of the file, or pandas.read_csv(io.BytesIO(data))."
    if isinstance(data, Number):
        yield f"{data!r} is one number, not rows", None
    if hasattr(data, "read") and hasattr(data, "close"):
        yield "this is an open file", "Give its path."
    packages = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(data).__mro__}
    for known in packages & KNOWN.keys():
        what, give = KNOWN[known]
        yield f"this is {what}", f"Give {give}."
    if isinstance(data, Mapping):
        yield "this is a dict in the place of rows", "If it holds columns, give pandas.DataFrame(data)."
    if isinstance(data, list | tuple):
        yield from _kinds_of_list(data)
    if isinstance(data, Iterator):
        yield "these rows can be read only once", "Give numpy.array(list(data)), or a table."
    if hasattr(data, "detach") and hasattr(data, "numpy"):
        yield "this tensor cannot be read as it is", "Give data.detach().cpu().float()."


def _kinds_of_list(data: list[Any] | tuple[Any, ...]) -> Iterator[tuple[str, str | None]]:
    """What a list holds, and a cure."""
    if not data:
        yield "the list is empty", None
    nodes = 'for a node of each, {"name": ..., ...}'
    packages = {type(item).__module__.partition(".")[0] for item in data}
    if all(hasattr(item, "columns") or hasattr(item, "column_names") for item in data):
        joined = CONCAT.get(packages.pop(), "pandas.concat") if len(packages) == 1 else "pandas.concat"
        yield f"this is a list of {len(data)} tables", f"For one node give {joined}(data), {nodes}."
    if all(isinstance(item, tuple) and any(np.ndim(part) for part in item) for item in data):
        yield f"this is a list of {len(data)} tuples", f"If each is (X, y), give {nodes.partition(', ')[2]}."
    if all(isinstance(item, Mapping) for item in data):
        yield "this is a list of dicts", "Give pandas.DataFrame(data)."
    if all(isinstance(item, list | tuple) for item in data):
        lengths = sorted({len(item) for item in data})
        if len(lengths) > 1:
            cure = "Give every row the same number of values."
            yield f"these rows have {lengths[0]} to {lengths[-1]} values", cure
        if any(isinstance(value, str) for item in data for value in item):
            yield "these rows hold text", "Give pandas.DataFrame(data)."
    if all(getattr(item, "ndim", 0) == 2 for item in data):
        cure = f"For one node give numpy.concatenate(data), {nodes}."
        yield f"this is a list of {len(data)} arrays", cure
    if any(isinstance(item, str) for item in data):
        yield "this list holds text among other things", "Give paths alone, or pandas.DataFrame(data)."


def _array(data: np.ndarray) -> DataError:
    """The error for an array whose values are not numbers."""
    kinds = {"M": "dates", "m": "lengths of time", "c": "complex numbers", "O": "objects"}
    what = kinds.get(data.dtype.kind, "text" if data.dtype.kind in "SU" else str(data.dtype))
    cures = {
        "M": "Turn them into numbers, such as days since one of them.",
        "m": "Turn them into numbers: data / numpy.timedelta64(1, 's').",
        "c": "Give numpy.hstack([data.real, data.imag]).",
    }
    column = 'Give a table with one column: pandas.DataFrame({"x": data}).' if data.ndim == 1 else ROWS
    return DataError(f"the array holds {what}", cure=cures.get(data.dtype.kind, column))


def _shape(data: np.ndarray) -> DataError:
    """The error for an array that is not (rows, features)."""
    if data.ndim == 1:
        cure = "X.reshape(-1, 1) makes one column of it, X.reshape(1, -1) one row."
    elif data.ndim > 2:
        cure = "X.reshape(len(X), -1) makes a row of each; tk.Torch tasks read arrays of any shape."
    else:
        cure = ROWS
    return DataError(f"the array has shape {data.shape}, not (rows, features)", cure=cure)


def paths_or_texts(data: Any, error: DataError) -> DataError:
    """The error for paths without files, with a cure for texts that were taken for paths."""
    texts = [data] if isinstance(data, str | os.PathLike) else list(data)
    if any(isinstance(text, str) and not PATH.search(text) and not os.path.exists(text) for text in texts):
        cure = 'If these are texts and not paths, give pandas.DataFrame({"text": texts}).'
        return DataError(error.cause, cure=f"{error.cure or ''} {cure}".strip())
    return error


def columns_not_nodes(data: Mapping[Any, Any]) -> DataError | None:
    """The error for a dict of columns, or of X and y, in the place of a dict of nodes; None for others."""
    if type(data).__name__ == "Bunch":
        return DataError("this is a data set of scikit-learn", cure="Give (data.data, data.target).")
    lengths = [_length(values) for values in data.values()]
    if {str(name).lower() for name in data} <= {"x", "y", "w", "data", "target"} and any(lengths):
        given = ", ".join(f"data[{name!r}]" for name in data)
        return DataError(
            "a dict names nodes, and this one holds features and target", cure=f"Give ({given})."
        )
    if lengths[0] is not None and len(set(lengths)) == 1:
        cure = "Give pandas.DataFrame(data)."
        return DataError("a dict names nodes, and this one holds columns", cure=cure)
    return None


def _length(values: Any) -> int | None:
    """The length of a one-dimensional array or list of numbers; None for all else, such as paths."""
    if isinstance(values, list | tuple):
        return len(values) if values and all(isinstance(v, Number) for v in values) else None
    return len(values) if getattr(values, "ndim", None) == 1 else None

"""Reads the rows of all nodes on one machine with pandas and pyarrow, without Talkoot's readers.

`tk.verify` fits scikit-learn to these rows, so an error in Talkoot's readers shows as a difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from talkoot.api.verify.pooled_data import Pool
from talkoot.data.paths import are_paths, expand, files_with_folders


def read(
    data: Any,
    target: Any = None,
    *,
    weight: Any = None,
    by: str | None = None,
    columns: Sequence[Any] | None = None,
    **csv: Any,
) -> Pool:
    """All rows in the order of the nodes: of what `tk.shards` takes, except shards.

    `csv` are arguments for `pandas.read_csv`; the others are those of `tk.shards`.

    Raises:
        ModuleNotFoundError: tables and files need pandas.
    """
    parts = data.values() if isinstance(data, Mapping) else [data]
    pools = [_part(part, target, weight, by, columns, csv) for part in parts]
    return Pool(
        X=concatenate([pool.X for pool in pools]),
        y=concatenate([pool.y for pool in pools]),
        w=concatenate([pool.w for pool in pools]),
    )


def _part(data: Any, target: Any, weight: Any, by: Any, columns: Any, csv: Mapping[str, Any]) -> Pool:
    """The rows of one node."""
    if isinstance(data, tuple):
        data, target, weight = (*data, weight)[:3]
    X = _rows(data, csv)
    names = [name for name in (target, weight, by) if np.isscalar(name)]
    y, w = (X[value] if np.isscalar(value) else value for value in (target, weight))
    return Pool(
        X=_features(X, names, columns),
        y=None if y is None else np.asarray(y),
        w=None if w is None else np.asarray(w, dtype=np.float64),
    )


def _features(X: Any, names: Sequence[Any], columns: Any) -> Any:
    """The feature columns: `columns`, or all, without the `names` of other columns."""
    if columns is None:
        return X.drop(columns=names) if names else X
    features = [columns] if isinstance(columns, str) else [name for name in columns if name not in names]
    return X[features] if hasattr(X, "iloc") else X[:, features]


def _rows(data: Any, csv: Mapping[str, Any]) -> Any:
    """Features and all other columns: a pandas frame, or an array, or a sparse matrix."""
    if are_paths(data):
        hive = any(folders for _, folders in files_with_folders(data))
        return _files(expand(data), csv, hive=hive)
    if sparse.issparse(data):
        return data
    if hasattr(data, "iloc"):
        return _with_missing(data, csv.get("na_values"))
    if hasattr(data, "__arrow_c_stream__"):
        return _with_missing(pa.table(data).to_pandas(), csv.get("na_values"))
    return np.asarray(data)


def _with_missing(frame: Any, texts: Sequence[str] | None) -> Any:
    """A frame with some texts as missing values; a column whose other values are numbers becomes numeric."""
    import pandas as pd

    if not texts:
        return frame
    changed = {}
    for name in frame.columns[[frame[name].isin(texts).any() for name in frame.columns]]:
        values = frame[name].mask(frame[name].isin(texts))
        with suppress(ValueError, TypeError):
            values = pd.to_numeric(values)
        changed[name] = values
    return frame.assign(**changed)


def _files(paths: Sequence[str], csv: Mapping[str, Any], *, hive: bool) -> Any:
    if hive:
        import pyarrow.dataset as ds  # it reads columns from folders such as year=2026

        suffix = PurePath(paths[0]).suffix.lstrip(".")
        kinds = {"pq": "parquet", "arrow": "ipc"}
        return (
            ds.dataset(list(paths), format=kinds.get(suffix, suffix), partitioning="hive")
            .to_table()
            .to_pandas()
        )
    return concatenate([_file(path, csv) for path in paths])


def _file(path: str, csv: Mapping[str, Any]) -> Any:
    import pandas as pd

    suffixes = PurePath(path.lower()).suffixes
    if suffixes[-1] in (".parquet", ".pq"):
        return pd.read_parquet(path)
    if {".csv", ".tsv"} & set(suffixes[-2:]):
        zstd = suffixes[-1] == ".zst"  # pandas needs one more library for it, pyarrow does not
        file: Any = pa.input_stream(path, compression="zstd") if zstd else path
        return _without_index(
            pd.read_csv(file, sep="\t" if ".tsv" in suffixes else ",", low_memory=False, **csv)
        )
    with pa.memory_map(path) as source:
        return pa.ipc.open_file(source).read_all().to_pandas()


def _without_index(frame: Any) -> Any:
    """The frame without a first column that numbers the rows and has no name: an index written by pandas."""
    first = frame.columns[0] if len(frame.columns) else ""
    is_index = first == "Unnamed: 0" and frame[first].dtype.kind in "iu" and frame[first].is_unique
    return frame.drop(columns=first) if is_index else frame


def concatenate(parts: Sequence[Any]) -> Any:
    """The rows of all parts, in order; None where there are none."""
    present = [part for part in parts if part is not None]
    if len(present) < 2:
        return present[0] if present else None
    if hasattr(present[0], "iloc"):
        import pandas as pd

        return pd.concat(present, ignore_index=True)
    if sparse.issparse(present[0]):
        return sparse.csr_array(sparse.vstack(present, format="csr"))
    return np.concatenate(present)

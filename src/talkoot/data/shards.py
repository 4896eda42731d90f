"""tk.shards: the rows of every node, from any supported data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.data.names import refuse_meanings, refuse_split
from talkoot.data.paths import are_paths, files_with_folders
from talkoot.data.roles import Roles
from talkoot.data.tables.arrays import ArrayShard
from talkoot.data.tables.csv_files import UTF8, CsvFormat
from talkoot.data.tables.files import FileShard
from talkoot.data.tables.memory import from_memory, groups
from talkoot.data.tables.reading import Part
from talkoot.data.tables.source import Source
from talkoot.data.tables.tables import TableShard
from talkoot.data.unreadable import columns_not_nodes, paths_or_texts


@final
class Shards(Mapping[str, Source]):
    """The rows of every node by the node's name. A description that is sent to nodes; only they read rows.

    Args:
        shards: sources by node.
        target: the name of the target column, if it has one.

    >>> import numpy as np
    >>> Shards({"a": from_memory("a", np.eye(2), Roles())})
    Shards(a: 2 rows)
    """

    def __init__(self, shards: Mapping[str, Source], *, target: str | None = None) -> None:
        self._shards = dict(shards)
        self.target = target

    def __getitem__(self, node: str) -> Source:
        return self._shards[node]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shards)

    def __len__(self) -> int:
        return len(self._shards)

    def __repr__(self) -> str:
        rows = (f"{node}: {'?' if s.rows is None else s.rows} rows" for node, s in self.items())
        return f"Shards({', '.join(rows)})"

    @property
    def has_target(self) -> bool:
        """Whether some node has a target."""
        return any(source.has_target for source in self.values())

    def with_keys(self, keys: tuple[str, ...]) -> Shards:
        """The same, but files also read these columns where they only name the rows, such as an index."""
        made = {
            node: replace(s, roles=replace(s.roles, keys=keys)) if isinstance(s, FileShard) else s
            for node, s in self.items()
        }
        return Shards(made, target=self.target)

    def deal(self, nodes: int) -> Shards:
        """The rows of a single source split over `nodes` nodes: consecutive parts of nearly equal size.

        Args:
            nodes: number of parts, which are named "node0", "node1", ...

        Raises:
            DataError: the rows are at several nodes already, or `nodes` is less than one.

        >>> import numpy as np
        >>> shards(np.eye(5)).deal(2)
        Shards(node0: 2 rows, node1: 3 rows)
        """
        if len(self) != 1:
            raise DataError(
                f"the rows are at {len(self)} nodes already and cannot be split again",
                cure="Leave nodes= out.",
            )
        if nodes < 1:
            raise DataError(f"nodes={nodes} leaves no node", cure="Take one or more.")
        (source,) = self.values()
        parts = source.deal([f"node{i}" for i in range(nodes)])
        return Shards({part.name: part for part in parts}, target=self.target)


def shards(
    data: Any,
    target: Any = None,
    *,
    weight: Any = None,
    qid: Any = None,
    by: str | None = None,
    nodes: int | None = None,
    columns: Sequence[Any] | None = None,
    encoding: str | None = None,
    missing: Sequence[str] | None = None,
) -> Shards:
    """The rows of every node.

    Args:
        data: one of

            - a file, folder, glob or list of files: Parquet, CSV, Arrow IPC or Feather, by path or by an
              fsspec address such as ``"s3://bucket/claims/*.parquet"``. However many files, they are one
              node, unless `by` or `nodes` says otherwise; for a node a file, give a dict.
            - a pandas, polars or pyarrow table, or anything with Arrow's PyCapsule interface;
            - an array or a scipy.sparse matrix, (rows, features), with `target` an array;
            - a tuple (X, y) or (X, y, weights);
            - a dict of named nodes: ``{"cleveland": any of these, ...}``. Names that mean something else,
              such as "validation" or "labels", are refused.
        target: the target's column name for tables and files; an array for arrays.
        weight: sample weights, named or given like the target.
        qid: query ids, for estimators that rank: whole numbers or text, named or given like the target; for a
            dict of nodes of arrays, a dict of arrays. Rows of one query must be at one node.
        by: a column whose values name the nodes. It is then not a feature.
        nodes: split the rows over this many nodes: consecutive parts of nearly equal size, the same every
            time. Files are split between row groups where that is even enough, else between rows.
        columns: the features, by name (by position for arrays); all other columns by default. The
            target is never one. An index that pandas wrote into a file, and a first column of a CSV file
            that has no name and numbers the rows, are features only where they are named here.
        encoding: the encoding of CSV files, such as "cp1252" or "utf-16"; UTF-8 by default.
        missing: texts that stand for a missing value, such as ``["?"]``, in addition to those of
            `pandas.read_csv`.

    Raises:
        DataError: data or columns that are missing, with the most similar name.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"age": [63, 41, 57], "site": ["va", "lima", "va"], "ill": [1, 0, 1]})
    >>> shards(table, "ill", by="site")
    Shards(lima: 1 rows, va: 2 rows)
    """
    if isinstance(data, Shards):
        if any(v is not None for v in (target, weight, qid, by, nodes, columns, encoding, missing)):
            raise DataError(
                "the data are shards already", cure="Give target=, by= and nodes= to tk.shards instead."
            )
        return data
    form = _form(encoding, missing)
    chosen = None if columns is None else tuple([columns] if isinstance(columns, str) else columns)
    roles = Roles(target=target, weight=weight, qid=qid, by=by, columns=chosen)
    if by is not None and nodes is not None:
        raise DataError("by= and nodes= both assign rows to nodes", cure="Use one of them.")
    if isinstance(data, Mapping):
        return _sites(data, roles, nodes, form)
    if by is not None:
        files = are_paths(data)
        made = _from_files("", data, roles, form).split() if files else groups(data, roles, form.missing)
        refuse_split(made, by)
        return Shards(made, target=roles.name("target"))
    whole = Shards({"node0": _source("node0", data, roles, form)}, target=roles.name("target"))
    return whole if nodes is None else whole.deal(nodes)


def _form(encoding: str | None, missing: Sequence[str] | None) -> CsvFormat:
    """The format of CSV files.

    Raises:
        DataError: an encoding that Python does not know, or missing values that are not text.
    """
    try:
        "".encode(encoding or UTF8)
    except LookupError:
        cure = 'Take one that Python knows, such as "cp1252", "latin-1" or "utf-16".'
        raise DataError(f"encoding={encoding!r} is not known", cure=cure) from None
    texts: tuple[Any, ...] = (missing,) if isinstance(missing, str) else tuple(missing or ())
    odd = next((text for text in texts if not isinstance(text, str)), None)
    if odd is not None:
        raise DataError(
            f"missing= lists texts, and {odd!r} is not text",
            cure=f"Write it as it stands in the files, such as missing=[{str(odd)!r}].",
        )
    return CsvFormat(encoding or UTF8, texts)


def _source(name: str, data: Any, roles: Roles, form: CsvFormat) -> Source:
    if are_paths(data):
        return _from_files(name, data, roles, form)
    return from_memory(name, data, roles, form.missing)


def _from_files(name: str, data: Any, roles: Roles, form: CsvFormat) -> FileShard:
    for role in ("target", "weight", "qid"):
        if getattr(roles, role) is not None and roles.name(role) is None:
            raise DataError(f"{role}= is an array, and the rows are in files", cure="Name a column.")
    try:
        files = files_with_folders(data)
    except DataError as error:
        raise paths_or_texts(data, error) from None
    parts = [Part(path, form=form, folders=tuple(values.items())) for path, values in files]
    return FileShard(name=name, parts=tuple(parts), roles=roles)


def _sites(data: Mapping[Any, Any], roles: Roles, nodes: int | None, form: CsvFormat) -> Shards:
    if not data:
        raise DataError("the dict of nodes is empty", cure='Give {"name": rows, ...}.')
    if (wrong := columns_not_nodes(data)) is not None:
        raise wrong
    refuse_meanings(map(str, data))
    if roles.by is not None or nodes is not None:
        raise DataError(
            "by= and nodes= split one source, and a dict names the nodes already", cure="Leave them out."
        )
    for role in ("target", "weight"):
        if getattr(roles, role) is not None and roles.name(role) is None:
            raise DataError(
                f"{role}= is one array for several nodes", cure='Give {"name": (X, y, weights), ...}.'
            )
    ids = _ids_of_nodes(roles, data)
    made: dict[str, Source] = {}
    for node, rows in data.items():
        try:
            made[str(node)] = _source(str(node), rows, replace(roles, qid=ids[node]), form)
        except DataError as error:
            raise error.at(node=str(node)) from None
    return Shards(_weighted(made), target=roles.name("target"))


def _ids_of_nodes(roles: Roles, nodes: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The query ids of each node: the name of a column of all, or an array of each."""
    if roles.qid is None or roles.name("qid") is not None:
        return dict.fromkeys(nodes, roles.qid)
    if not isinstance(roles.qid, Mapping) or roles.qid.keys() != nodes.keys():
        cure = 'Give qid={"name": ids, ...} with the names of the nodes, or name a column.'
        raise DataError("qid= does not have the query ids of each node", cure=cure)
    return roles.qid


def _weighted(made: Mapping[str, Source]) -> dict[str, Source]:
    """Weights of 1 for nodes in memory without weights, where other nodes have some."""
    memory = {k: s for k, s in made.items() if isinstance(s, ArrayShard | TableShard)}
    some = any(source.w is not None for source in memory.values())
    bare = {k: s for k, s in memory.items() if some and s.w is None}
    return {**made, **{k: replace(s, w=np.ones(s.rows)) for k, s in bare.items()}}

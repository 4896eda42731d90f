"""The data sets that a site has registered in its `site.toml`: rows under a name, wherever they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, final

import msgspec

from talkoot.core.errors import DataError, PlanError, Refused, TalkootError
from talkoot.data.fixes import Fix, fixed, fixes_at
from talkoot.data.paths import format_of
from talkoot.data.shards import shards
from talkoot.data.tables.source import Source
from talkoot.data.tables.strays import is_number
from talkoot.engines.federation.consent import toml

FILE = "site.toml"
DRIVERS = ("postgresql", "sqlite", "snowflake", "flightsql", "bigquery")
EXTRA = "pip install 'talkoot[sql]'"


@final
class DataSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the rows of a data set are: files, or the result of a query.

    Args:
        files: paths of Parquet, CSV or Arrow files, beside `site.toml` or absolute.
        missing: texts that stand for a missing value.
        encoding: of CSV files.
        columns: the columns that may be learned from, besides the target; all by default.
        duckdb: a database of DuckDB; ":memory:" for queries that read files.
        adbc: a driver of ADBC, such as "postgresql".
        uri: the address of its database.
        query: in SQL, for a database.
    """

    files: str | tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    encoding: str | None = None
    columns: tuple[str, ...] | None = None
    duckdb: str | None = None
    adbc: str | None = None
    uri: str = ""
    query: str = ""

    def __post_init__(self) -> None:
        places = [name for name in ("files", "duckdb", "adbc") if getattr(self, name)]
        if len(places) != 1:
            named = " and ".join(places) or "none of them"
            raise DataError(
                f"a data set is in files, in duckdb or in adbc, and this one names {named}",
                cure='Write files = "claims/*.parquet", for example.',
            )
        if (places != ["files"]) != bool(self.query):
            raise DataError("a query belongs to a database, and a database needs a query")
        if self.adbc is not None and self.adbc not in DRIVERS:
            raise DataError(f"adbc = {self.adbc!r} is no driver", cure=f"Take one of {', '.join(DRIVERS)}.")

    def open(self, node: str, target: str | None, folder: Path, fixes: Sequence[Fix] = ()) -> Source:
        """The rows, as those of a node, with its fixes.

        Raises:
            TalkootError: they cannot be read, or a column is not there.
        """
        columns = None if self.columns is None else [name for name in self.columns if name != target]
        form: dict[str, Any] = {"encoding": self.encoding, "missing": self.missing or None}
        rows = self._rows(folder)
        if mine := fixes_at(node, fixes):
            own = next((each.column for each in mine if each.rename == target), target)
            named = None if columns is None else [*dict.fromkeys((*columns, *filter(None, [own])))]
            rows, columns = fixed(shards({node: rows}, columns=named, **form)[node], mine), None
        source = shards({node: rows}, target, columns=columns, **form)[node]
        _require_names(source)
        return source

    def _rows(self, folder: Path) -> Any:
        if self.duckdb is not None:
            return _from_duckdb(_beside(self.duckdb, folder), self.query)
        if self.adbc is not None:
            return _from_adbc(self.adbc, self.uri, self.query)
        files = (self.files,) if isinstance(self.files, str) else self.files
        paths = [_beside(file, folder) for file in files]
        return paths[0] if len(paths) == 1 else paths


def _require_names(source: Source) -> None:
    """Refuse CSV files without a header: others would read their first row as names of columns."""
    names, parts = source.layout().names, getattr(source, "parts", ())
    numbers = [name for name in names if is_number(name)]
    if any(format_of(part.path) == "csv" for part in parts) and 2 * len(numbers) > len(names):
        raise DataError(
            f"most columns are called by numbers, such as {numbers[0]!r}: the file seems to have no header",
            cure="Write the names of the columns into its first row.",
        )


@final
class SiteFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in `site.toml`.

    Args:
        coordinator: its address, such as "talkoot.example.org:8443".
        proxy: the address of an HTTP proxy on the way, if there is one.
        data: the data sets by name.
        learners: what plans may name besides the catalogue: name -> "package.module:thing", which is imported
            at the site alone.
    """

    coordinator: str
    proxy: str | None = None
    data: dict[str, DataSet] = {}
    learners: dict[str, str] = {}


@final
class DataSets:
    """The data sets of a site.

    Args:
        node: the site's name.
        folder: where its `site.toml` is.
    """

    def __init__(self, node: str, folder: Path) -> None:
        self.node, self.folder = node, folder
        self._checked: set[tuple[str, str | None, tuple[Fix, ...]]] = set()

    def open(self, name: str, target: str | None, fixes: Sequence[Fix] = ()) -> Source:
        """The rows of a data set. What is wrong with them is not for others to read: it is the error's cause.

        Raises:
            DataError: `site.toml` cannot be read.
            Refused: there is no such data set, or it cannot be read with this target.
        """
        found = site_file(self.folder).data.get(name)
        if found is None:
            raise Refused(f"no data set {name!r:.80} is registered here", node=self.node)
        try:
            return found.open(self.node, target, self.folder, fixes)
        except (TalkootError, OSError) as error:
            raise Refused(
                f"the data set {name!r} cannot be read with the target {target!r:.80}", node=self.node
            ) from error

    def require(self, name: str, target: str | None, fixes: Sequence[Fix] = ()) -> None:
        """Refuse a data set that cannot be opened; what was opened once is believed.

        Raises:
            TalkootError: as `open`.
        """
        key = (name, target, tuple(fixes))
        if key not in self._checked:
            self.open(name, target, fixes)
            self._checked.add(key)


def rows_of(source: Source) -> int:
    """The number of rows; they may have to be read for it."""
    known = source.rows
    return known if known is not None else sum(rows for _, _, rows in source.targets())


def site_file(folder: Path) -> SiteFile:
    """The settings of a site.

    Raises:
        DataError: there are none, or one of them is wrong.
    """
    return toml.load(folder / FILE, SiteFile)


def registered(folder: Path) -> Mapping[str, Any]:
    """What plans may name besides the catalogue, by the names that the site has given.

    Raises:
        DataError: one cannot be imported.
    """
    found = {}
    for name, place in site_file(folder).learners.items():
        module, _, attribute = place.partition(":")
        try:
            found[name] = getattr(import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise DataError(
                f"{folder / FILE}: the learner {name!r} cannot be imported: {error}",
                cure='Write name = "package.module:thing".',
            ) from None
    return found


def _beside(path: str, folder: Path) -> str:
    """A path that is relative to the site's folder; addresses and ":memory:" stay."""
    return path if "://" in path or path.startswith(":") else str(folder / Path(path).expanduser())


def _from_duckdb(path: str, query: str) -> Any:
    try:
        import duckdb
    except ImportError:
        raise PlanError("the data set is in DuckDB, which is not installed", cure=EXTRA) from None
    try:
        with duckdb.connect(path, read_only=path != ":memory:") as database:
            found = database.sql(query)
            if found is None:
                raise DataError("the query selects no rows", cure="Write a select.")
            return found.to_arrow_table()
    except duckdb.Error as error:
        raise DataError(f"{path}: {error}", cure="Look at the query.") from None


def _from_adbc(driver: str, uri: str, query: str) -> Any:
    try:
        library = import_module(f"adbc_driver_{driver}.dbapi")
    except ImportError:
        cure = f"pip install adbc-driver-{driver}"
        raise PlanError(f"the driver {driver!r} of ADBC is not installed", cure=cure) from None
    try:
        with library.connect(uri) as database, database.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetch_arrow_table()
    except library.Error as error:
        raise DataError(f"{driver}: {error}", cure="Look at the address and the query.") from None

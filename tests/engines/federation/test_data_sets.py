"""Data sets under a name: files and databases, opened as the project's own sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from talkoot.core.errors import DataError, Refused
from talkoot.engines.federation.consent import data_sets
from talkoot.engines.federation.consent.data_sets import DataSets, rows_of

HEAD = 'coordinator = "127.0.0.1:8443"\n'


def write(folder: Path, text: str) -> DataSets:
    (folder / "site.toml").write_text(HEAD + text)
    return DataSets("oslo", folder)


def test_files_are_beside_the_settings(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    for part in (1, 2):
        (tmp_path / "rows" / f"{part}.csv").write_text("age,cost,fraud\n63,1.5,yes\n41,?,no\n")
    sets = write(
        tmp_path, '[data.claims]\nfiles = "rows/*.csv"\nmissing = ["?"]\ncolumns = ["cost", "fraud"]\n'
    )
    source = sets.open("claims", "fraud")
    assert (source.name, rows_of(source), source.layout().names) == ("oslo", 4, ("cost",))
    assert sets.open("claims", None).layout().names == ("cost", "fraud")
    listed = write(tmp_path, '[data.claims]\nfiles = ["rows/1.csv", "rows/2.csv"]\nmissing = ["?"]\n')
    assert rows_of(listed.open("claims", "fraud")) == 4


def test_a_query_of_duckdb(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(tmp_path / "clinic.duckdb")) as database:
        database.execute("create table patients as select range as age, range % 2 = 0 as ill from range(30)")
    text = '[data.claims]\nduckdb = "clinic.duckdb"\nquery = "select * from patients where age < 20"\n'
    source = write(tmp_path, text).open("claims", "ill")
    assert (rows_of(source), source.layout().names) == (20, ("age",))
    with pytest.raises(Refused, match="cannot be read with the target 'ill'") as caught:
        write(tmp_path, text.replace("patients", "nobody")).open("claims", "ill")
    assert "nobody" in str(caught.value.__cause__)
    assert "nobody" not in str(caught.value)
    with pytest.raises(Refused):  # a query cannot write
        write(tmp_path, text.replace("select * from patients where age < 20", "drop table patients")).open(
            "claims", "ill"
        )
    with duckdb.connect(str(tmp_path / "clinic.duckdb")) as database:
        assert database.execute("select count(*) from patients").fetchone() == (30,)


def test_a_query_of_adbc(tmp_path: Path) -> None:
    library = pytest.importorskip("adbc_driver_sqlite.dbapi")
    path = tmp_path / "lab.sqlite"
    with library.connect(str(path)) as database, database.cursor() as cursor:
        cursor.execute("create table lab (age real, ill integer)")
        cursor.execute("insert into lab values (63.0, 1), (41.0, 0)")
        database.commit()
    source = write(
        tmp_path, f'[data.lab]\nadbc = "sqlite"\nuri = "{path}"\nquery = "select age, ill from lab"\n'
    ).open("lab", "ill")
    (block,) = source.blocks()
    np.testing.assert_array_equal(block.X, [[63.0], [41.0]])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[data.claims]\nfile = "a.csv"', "unknown field `file`"),
        ("[data.claims]", "this one names none of them"),
        ('[data.claims]\nfiles = "a.csv"\nduckdb = "b"', "names files and duckdb"),
        ('[data.claims]\nfiles = "a.csv"\nquery = "select 1"', "a query belongs to a database"),
        ('[data.claims]\nduckdb = "a"', "a database needs a query"),
        ('[data.claims]\nadbc = "os"\nquery = "x"', "adbc = 'os' is no driver. Take one of"),
        ("[dta.claims]", "unknown field `dta`. Did you mean 'data'"),
    ],
)
def test_settings_with_an_error_are_named(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(DataError, match=r"site\.toml") as caught:
        write(tmp_path, text).open("claims", None)
    assert why in str(caught.value)


def test_learners_are_imported_by_the_site_alone(tmp_path: Path) -> None:
    write(tmp_path, '[learners]\nwalk = "talkoot.testing.toys:Walk"\n')
    assert data_sets.registered(tmp_path)["walk"].__name__ == "Walk"
    write(tmp_path, '[learners]\nwalk = "talkoot.testing.toys:Wlk"\n')
    with pytest.raises(DataError, match="the learner 'walk' cannot be imported"):
        data_sets.registered(tmp_path)
    (tmp_path / "site.toml").unlink()
    with pytest.raises(DataError, match=r"site\.toml cannot be read"):
        data_sets.registered(tmp_path)

"""Tables as a stream, and what holds for every source."""

from __future__ import annotations

import pickle

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from laws import rows_of
from talkoot.core.errors import DataError, PlanError
from talkoot.stream.sources.memory import Memory
from talkoot.stream.sources.source import OffsetGone


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"x": [1, 2, 3]}, index=[7, 8, 9]),
        pl.DataFrame({"x": [1, 2, 3]}),
        pa.table({"x": [1, 2, 3]}),
        [pa.record_batch({"x": [1]}), pa.record_batch({"x": [2, 3]})],
    ],
    ids=["pandas", "polars", "table", "batches"],
)
def test_tables_of_every_kind_are_streams_that_end(table: object) -> None:
    with Memory(table).open("0") as reader:
        assert rows_of(reader, 2) == [{"x": 1}, {"x": 2}, {"x": 3}]
        assert reader.ended()
        assert reader.lag() == 0


def test_a_dict_of_tables_has_a_partition_for_each() -> None:
    source = Memory({"north": pa.table({"x": [1]}), "south": pa.table({"x": [2]})})
    assert source.partitions() == ("north", "south")
    assert rows_of(source.open("south"), 1) == [{"x": 2}]


def test_latest_is_the_end_and_none_is_the_start_of_the_source() -> None:
    reader = Memory(pa.table({"x": [1, 2]}), start="latest").open("0")
    assert reader.ended()
    reader.seek("earliest")
    assert not reader.ended()
    reader.seek(None)
    assert reader.ended()


def test_what_is_no_table_or_no_offset_is_named() -> None:
    with pytest.raises(DataError, match="int is no table"):
        Memory(3)
    with pytest.raises(PlanError, match="'newest' is unknown"):
        Memory(pa.table({"x": [1]}), start="newest")
    reader = Memory(pa.table({"x": [1]})).open("0")
    with pytest.raises(OffsetGone, match="has 1 rows, and not row 2") as gone:
        reader.seek("2")
    assert gone.value.resume == "1"
    with pytest.raises(DataError, match="'5-0' is no offset of this source"):
        reader.seek("5-0")


def test_an_offset_that_is_gone_travels_with_where_to_go_on() -> None:
    error = pickle.loads(pickle.dumps(OffsetGone("gone", resume="7").at(node="va")))
    assert (error.resume, error.node, str(error)) == ("7", "va", "node 'va': gone")


def test_text_among_numbers_has_a_cure_that_a_stream_has() -> None:
    with pytest.raises(DataError, match=r"column 'x': it holds text .* among numbers. .*pandas.to_numeric"):
        Memory(pd.DataFrame({"x": [1, "?", 3]}))

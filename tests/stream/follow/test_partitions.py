"""Partitions that come, go and come back, and stores that another number of nodes opens."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from tiny import Tiny, table

import talkoot as tk
from talkoot.api.followed import Followed
from talkoot.core.errors import PlanError
from talkoot.stream.follow.question import answered
from talkoot.stream.sources.folder import Folder
from talkoot.stream.sources.log.log import SegmentLog
from talkoot.stream.store import read


def write(log: SegmentLog, partition: str, rows: int) -> None:
    with log.writer(partition) as writer:
        writer.append(table(rows, len(partition)))


def go(folder: Path, nodes: int = 2) -> Followed:
    log = SegmentLog(str(folder / "log"))
    return tk.follow(
        Tiny(), log, "y", nodes=nodes, sync=tk.every(rows=20), store=folder / "store", progress=False
    )


def counted(found: Followed) -> dict[str, dict[str, int]]:
    return {node: dict(report.rows) for node, report in found.following.reports.items()}


def test_a_partition_that_comes_moves_no_other_one(tmp_path: Path) -> None:
    log = SegmentLog(str(tmp_path / "log"))
    for name, rows in (("b", 30), ("c", 50)):
        write(log, name, rows)
    assert counted(go(tmp_path)) == {"node0": {"b": 30}, "node1": {"c": 50}}
    write(log, "a", 40)
    write(log, "c", 10)
    found = go(tmp_path)
    assert counted(found) == {"node0": {"b": 30, "a": 40}, "node1": {"c": 60}}
    assert found.following.states[""]["seen"].tolist() == [130.0]


def test_a_partition_that_was_away_goes_on_where_it_was(tmp_path: Path) -> None:
    log = SegmentLog(str(tmp_path / "log"))
    for name, rows in (("a", 30), ("b", 50)):
        write(log, name, rows)
    go(tmp_path)
    (tmp_path / "log" / "a").rename(tmp_path / "away")
    write(log, "b", 5)
    found = go(tmp_path)
    assert counted(found) == {"node0": {"a": 30}, "node1": {"b": 55}}
    assert any("partitions that are not there now" in str(event.get("text")) for event in found.events)
    (tmp_path / "away").rename(tmp_path / "log" / "a")
    write(log, "a", 3)
    found = go(tmp_path)
    assert counted(found) == {"node0": {"a": 33}, "node1": {"b": 55}}
    assert found.following.states[""]["seen"].tolist() == [88.0]


@pytest.mark.parametrize("nodes", [1, 3])
def test_another_number_of_nodes_is_refused_by_name(tmp_path: Path, nodes: int) -> None:
    log = SegmentLog(str(tmp_path / "log"))
    for name in "abc":
        write(log, name, 20)
    go(tmp_path)
    with pytest.raises(PlanError, match=rf"nodes was 2 and is {nodes}.*on=tk.Local\(1\)"):
        go(tmp_path, nodes)
    assert go(tmp_path).rows == 60


def test_an_answer_that_is_given_again_does_not_tell_that_all_is_read(tmp_path: Path) -> None:
    write(SegmentLog(str(tmp_path / "log")), "a", 30)
    found = go(tmp_path, 1)
    report = found.following.reports["node0"]
    stored = read(tmp_path / "store" / "node0.sqlite", "answer")["answer"]
    again = answered(stored["values"]).report
    assert (report.over, again.over, again.number) == (True, False, report.number)
    assert go(tmp_path, 1).following.reports["node0"].number == report.number, "no rows: nothing is stored"


def test_types_of_columns_stay_those_of_the_first_call(tmp_path: Path) -> None:
    folder = tmp_path / "lines"
    folder.mkdir()

    def lines(name: str, rows: pa.Table) -> None:
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows.to_pylist()))

    def follow() -> Followed:
        source = Folder(str(folder))
        return tk.follow(Tiny(), source, "y", store=tmp_path / "store", gone="earliest", progress=False)

    lines("1.jsonl", table(20))
    follow()
    (folder / "1.jsonl").unlink()
    lines("2.jsonl", table(10).drop_columns(["b"]))
    found = follow()
    assert (found.rows, found.rejected) == (30, {})

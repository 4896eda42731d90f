"""tk.follow: one answer however the stream is cut, on every engine; what is refused or set aside."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from tiny import Apart, Tiny, table

import talkoot as tk
from examples import examples
from laws import rows_of
from talkoot.core.engine import Engine
from talkoot.core.errors import DataError, LeaseLost, PlanError
from talkoot.learners.online.state import equal
from talkoot.stream.follow.learner import Follower
from talkoot.stream.follow.recorded import model_path, stored_model
from talkoot.stream.follow.scores.course import POINTS, longer
from talkoot.stream.sinks.folder import LogSink, ParquetSink
from talkoot.stream.sinks.sink import Output, Sink
from talkoot.stream.sources.folder import Folder
from talkoot.stream.sources.log.log import SegmentLog
from talkoot.stream.sources.memory import Memory
from talkoot.stream.sources.source import OffsetGone, Reader, Source
from talkoot.stream.store import Store

DATA = table(120)
MANY = Memory({"0": table(90, 1), "1": table(70, 2), "2": table(110, 3)})


def cut(data: pa.Table, at: list[int]) -> list[pa.RecordBatch]:
    """The rows of a table in other batches."""
    edges = [0, *sorted(at), data.num_rows]
    parts = [data.slice(a, b - a) for a, b in itertools.pairwise(edges)]
    return [batch for part in parts for batch in part.combine_chunks().to_batches()]


@examples(30)
@given(at=st.lists(st.integers(0, 120), max_size=6), rows=st.integers(1, 130), until=st.integers(1, 119))
def test_any_cut_of_the_stream_gives_the_same_state(at: list[int], rows: int, until: int) -> None:
    whole = tk.follow(Tiny(), DATA, "y")
    source, sync = Memory(cut(DATA, at)), tk.every(rows=rows)
    found = tk.follow(Tiny(), source, "y", sync=sync)
    assert equal(found.following.states["node0"], whole.following.states["node0"])
    assert found.metrics == whole.metrics
    part = tk.follow(Tiny(), source, "y", sync=sync, until=until)
    assert (part.rows, part.offsets) == (until, {"0": str(until)})


@examples(10)
@given(rows=st.integers(1, 60), at=st.lists(st.integers(0, 90), max_size=4))
def test_nodes_that_meet_by_rows_do_not_depend_on_batches(rows: int, at: list[int]) -> None:
    sync = tk.every(rows=rows)
    source = Memory({**MANY.tables, "0": cut(MANY.tables["0"], at)})
    one, other = (tk.follow(Tiny(), given, "y", nodes=3, sync=sync) for given in (MANY, source))
    assert equal(one.following.states[""], other.following.states[""])
    assert one.following.states[""]["seen"].tolist() == [270.0]


@pytest.mark.parametrize("on", [tk.Inline(), tk.Inline(3), tk.Local(2)], ids=repr)
def test_engines_do_not_change_the_model(on: Engine) -> None:
    sync = tk.every(rows=40)
    one, other = (tk.follow(Tiny(), MANY, "y", nodes=3, sync=sync, on=place) for place in (None, on))
    assert equal(one.following.states[""], other.following.states[""])
    assert one.metrics == other.metrics
    assert one.version == other.version == 3


def test_models_that_do_not_add_up_stand_side_by_side() -> None:
    found = tk.follow(Apart(), MANY, "y", nodes=3, sync=tk.every(rows=50))
    counts = [state["counts"].tolist() for state in found.following.states.values()]
    assert [sum(each) for each in counts] == [90, 70, 110]
    shares = [(np.array(each) + 1) / (sum(each) + 2) for each in counts]
    order = np.argsort(found.following.labels)
    assert found.model.predict_proba([{"a": 0.0, "b": 0.0}])[0] == pytest.approx(
        np.mean(shares, axis=0)[order]
    )
    assert len({int(state["seed"][0]) for state in found.following.states.values()}) == 3


def test_classes_appear_on_the_way() -> None:
    labels = pa.array([*"b" * 30, *"a" * 30, *[None] * 10, *"c" * 30, *"a" * 20])
    data = DATA.set_column(2, "y", labels)
    found = tk.follow(Apart(), data, "y", sync=tk.every(rows=50))
    assert found.model.classes_.tolist() == ["a", "b", "c"]
    assert found.following.labels == ("b", "a", "c")
    assert found.following.states["node0"]["counts"].tolist() == [30.0, 50.0, 30.0]
    assert found.following.reports["node0"].unlabelled == 10
    assert found.model.predict(data.slice(0, 2)).tolist() == ["a", "a"]


def test_a_fourth_class_counts_from_where_it_came() -> None:
    labels = pa.array([*"ab" * 20, *"abc" * 10, *"abcd" * 5, *"dcba" * 5, *"abcdabcdab"])
    found = tk.follow(Apart(), DATA.set_column(2, "y", labels), "y", sync=tk.every(rows=30))
    assert found.following.labels == ("a", "b", "c", "d")
    shares = [e["metrics"].get("accuracy", 0.0) for e in found.events if e["event"] == "round"]
    assert all(0 <= share <= 1 for share in shares)
    one = tk.follow(Apart(), DATA.set_column(2, "y", labels), "y")
    assert one.metrics == found.metrics


def test_the_same_call_goes_on_where_it_was(tmp_path: Path) -> None:
    for until in (50, 100, "end", "end"):
        found = tk.follow(Tiny(), DATA, "y", store=tmp_path, until=until, sync=tk.every(rows=30))
    whole = tk.follow(Tiny(), DATA, "y")
    assert equal(found.following.states["node0"], whole.following.states["node0"])
    assert (found.rows, found.metrics) == (120, whole.metrics)
    assert found.report(tmp_path / "report.html").exists()
    assert (tmp_path / "events.jsonl").exists()
    more = tk.follow(Tiny(), pa.concat_tables([DATA, table(30, 7)]), "y", store=tmp_path)
    assert more.rows == 150


def test_the_course_of_the_scores_and_what_changed_outlive_the_call(tmp_path: Path) -> None:
    turned = pa.concat_tables([table(3000, 1), tossed(table(2000, 2))])
    source, sync = Memory({"0": turned, "1": table(3000, 3)}), tk.every(rows=500)
    watch = tk.drift(features=False, estimate=False)
    calls = [
        tk.follow(Tiny(), source, "y", nodes=2, sync=sync, drift=watch, store=tmp_path, until=until)
        for until in (3000, "end", "end")
    ]
    for before, after in itertools.pairwise(calls):
        for node, points in before.following.course.items():
            assert after.following.course[node][: len(points)] == points
    found = calls[-1]
    assert found.following.course == calls[1].following.course
    assert {node: points[-1][0] for node, points in found.following.course.items()} == {
        "node0": 5000,
        "node1": 3000,
    }
    (rose,) = [one for one in found.findings if one.node == "node0"]
    assert rose.kind == "loss"
    assert 2700 <= rose.since <= 3300
    assert 3000 < rose.at < 5000
    page = found.report(tmp_path / "report.html").read_text()
    assert page.count("<polyline") == 2  # the last call read nothing, and has no curves of rounds
    assert page.count("the loss rose") == 2  # at the mark and in the notes


def tossed(data: pa.Table) -> pa.Table:
    """The same rows with an answer that means nothing."""
    coins = np.random.default_rng(0).integers(0, 2, data.num_rows)
    return data.set_column(2, "y", pa.array(coins))


def test_points_are_thinned_and_the_first_and_last_stay() -> None:
    found = tk.follow(Tiny(), DATA, "y")
    assert [at for at, _ in found.following.course["node0"]][-1:] == [120]
    assert isinstance(found.plan.learner, Follower)
    before = replace(found.following, course={"node0": [(at, 0.5) for at in range(-POINTS, 0)]})
    course = longer(before, found.plan.learner.rules).course["node0"]
    assert (len(course), course[0][0], course[-1][0]) == (POINTS // 2 + 1, -POINTS, 120)


def test_a_store_is_of_one_run(tmp_path: Path) -> None:
    tk.follow(Tiny(), DATA, "y", store=tmp_path, until=20)
    with pytest.raises(
        PlanError, match=r"of another run: model was 'Tiny\(rate=0.1\)' and is 'Tiny\(rate=0.5\)'"
    ):
        tk.follow(Tiny(0.5), DATA, "y", store=tmp_path)
    with pytest.raises(PlanError, match="seed was 0 and is 3"):
        tk.follow(Tiny(), DATA, "y", store=tmp_path, seed=3)
    model_path(tmp_path).unlink()
    with pytest.raises(tk.DataError, match="not of one run: a file of the store was lost"):
        tk.follow(Tiny(), DATA, "y", store=tmp_path)


@final
@dataclass(frozen=True, slots=True)
class Meddled(Source):
    """Somebody else opens the node's store when the rows are opened for the second time."""

    source: Source
    store: Path
    opened: list[Any] = field(default_factory=list, compare=False, repr=False)

    def partitions(self) -> tuple[str, ...]:
        return self.source.partitions()

    def open(self, partition: str) -> Reader:
        self.opened.append(partition)
        if len(self.opened) == 2:
            Store(self.store / "node0.sqlite").close()
        return self.source.open(partition)


def test_a_store_goes_on_with_its_own_stream_alone(tmp_path: Path) -> None:
    def follow(stream: Any, name: str = "store") -> int:
        return tk.follow(Tiny(), stream, "y", store=tmp_path / name).rows

    mine, other = table(300, 0), table(400, 1)
    assert follow(mine.slice(0, 200)) == 200
    with pytest.raises(PlanError, match="partition '0'.*begins with another row"):
        follow(other)
    assert follow(mine.cast(mine.schema.set(0, mine.schema.field(0).with_nullable(False)))) == 300
    for folder, rows in (("mine", mine), ("other", other)):
        (tmp_path / folder).mkdir()
        pq.write_table(rows.slice(0, 150), tmp_path / folder / "0.parquet")
    assert follow(tmp_path / "mine", "folder") == 150
    with pytest.raises(PlanError, match="begins with another row"):
        follow(tmp_path / "other", "folder")
    (tmp_path / "mine").rename(tmp_path / "moved")
    pq.write_table(mine.slice(150), tmp_path / "moved" / "1.parquet")
    assert follow(tmp_path / "moved", "folder") == 300
    (tmp_path / "moved" / "0.parquet").unlink()
    assert follow(tmp_path / "moved", "folder") == 300


def test_of_two_owners_the_first_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(LeaseLost, match=r"node 'node0', round 0: .* was taken over by another process"):
        tk.follow(Tiny(), Meddled(Memory(DATA), tmp_path), "y", store=tmp_path)
    assert stored_model(tmp_path) is None
    assert tk.follow(Tiny(), DATA, "y", store=tmp_path).rows == 120


def test_rows_that_cannot_be_read_are_set_aside_and_counted(tmp_path: Path) -> None:
    broken = pa.table({"a": ["0.5", "abc", None], "b": [1.0, 1.0, 1.0], "y": [0, 1, 1]})
    other = pa.table({"a": [1.0], "y": [1]})
    batches = [batch for part in (DATA, broken, other, DATA) for batch in part.to_batches()]
    found = tk.follow(Tiny(), batches, "y", store=tmp_path, sync=tk.every(rows=50))
    assert found.rows == 244
    assert found.following.reports["node0"].learned == 242
    assert found.rejected == {"column 'a' holds text that is not a number": 1, "column 'b' is missing": 1}
    lines = [json.loads(line) for line in (tmp_path / "node0.rejected.jsonl").read_text().splitlines()]
    assert [(line["partition"], line["row"], line["values"]) for line in lines] == [
        ("0", 121, {"a": "abc", "b": 1.0, "y": 1}),
        ("0", 123, {"a": 1.0, "y": 1}),
    ]
    assert "2 rows set aside" in repr(found)
    notes = [event["text"] for event in found.events if event["event"] == "note"]
    assert notes == [f"rows cannot be read and are set aside: {reason}" for reason in found.rejected]


def test_late_rows_and_a_clock_that_goes_backwards(tmp_path: Path) -> None:
    times = np.arange(120.0)
    times[60], times[80] = 10.0, 79.5
    data = DATA.append_column("t", pa.array(times))
    anyhow = tk.follow(Tiny(), data, "y", time="t")
    assert (anyhow.following.reports["node0"].backwards, anyhow.rejected) == (1, {})
    strict = tk.follow(Tiny(), data, "y", time="t", grace=5, store=tmp_path, sync=tk.every(rows=30))
    assert list(strict.rejected.values()) == [1]
    assert json.loads((tmp_path / "node0.rejected.jsonl").read_text())["row"] == 60
    assert any("time goes backwards" in event.get("text", "") for event in strict.events)


@final
@dataclass(frozen=True, slots=True)
class Shortened(Source):
    """A table whose first rows are deleted."""

    data: pa.Table
    first: int

    def partitions(self) -> tuple[str, ...]:
        return ("0",)

    def open(self, partition: str) -> Reader:
        return _Shortened(Memory(self.data).open(partition), self.first)


@final
class _Shortened(Reader):
    def __init__(self, reader: Reader, first: int) -> None:
        self.reader, self.first = reader, first
        self.seek(None)

    def seek(self, offset: str | None) -> None:
        offset = str(self.first) if offset is None or offset == "earliest" else offset
        if offset.isdigit() and int(offset) < self.first:
            raise OffsetGone(f"row {offset} of partition '0' is gone", resume=str(self.first))
        self.reader.seek(offset)

    def poll(self, rows: int, seconds: float) -> Any:
        return self.reader.poll(rows, seconds)

    def ended(self) -> bool:
        return self.reader.ended()

    def lag(self) -> int | None:
        return self.reader.lag()


@pytest.mark.parametrize(("gone", "rows"), [("earliest", 90), ("latest", 50)])
def test_deleted_rows_have_a_policy(tmp_path: Path, gone: Any, rows: int) -> None:
    tk.follow(Tiny(), Shortened(DATA, 0), "y", store=tmp_path, until=50)
    with pytest.raises(OffsetGone, match=r"row 50 of partition '0' is gone. Go on with gone='earliest'"):
        tk.follow(Tiny(), Shortened(DATA, 80), "y", store=tmp_path)
    found = tk.follow(Tiny(), Shortened(DATA, 80), "y", store=tmp_path, gone=gone)
    assert found.rows == rows
    assert any(f"reading went on at the {gone} rows" in event.get("text", "") for event in found.events)


def test_ctrl_c_returns_what_there_is(tmp_path: Path) -> None:
    found = tk.follow(Interrupting(), DATA, "y", store=tmp_path, sync=tk.every(rows=30))
    assert found.interrupted
    assert (found.rows, found.version) == (64, 3)  # the first round ends before the second label
    assert "interrupted" in repr(found)
    with pytest.raises(PlanError, match="of another run"):
        tk.follow(Tiny(), DATA, "y", store=tmp_path)


class Interrupting(Tiny):  # type: ignore[misc]
    """Ctrl-C in the third round."""

    def learn(self, state: Any, rows: Any, y: Any, w: Any = None) -> Any:
        if state["seen"][0] >= 60:
            raise KeyboardInterrupt
        return Tiny.learn(self, state, rows, y, w)


def test_nonsense_is_refused() -> None:
    for until in (0, -1, True, 1.5, "soon"):
        with pytest.raises(PlanError, match="until=|is not a time"):
            tk.follow(Tiny(), DATA, "y", until=until)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="3 nodes cannot share 1 partitions"):
        tk.follow(Tiny(), DATA, "y", nodes=3)
    with pytest.raises(PlanError, match="does not tell how much of a stream"):
        tk.follow(Tiny(), DATA, "y", sync=tk.rounds(3))
    with pytest.raises(PlanError, match="cannot follow a stream"):
        tk.follow(Tiny(), DATA, "y", on=tk.Ranks())
    with pytest.raises(PlanError, match="gone='skip' is unknown"):
        tk.follow(Tiny(), DATA, "y", gone="skip")  # type: ignore[arg-type]
    with pytest.raises(tk.DataError, match="has no rows, so there is nothing to learn from"):
        tk.follow(Tiny(), DATA.slice(0, 0), "y")
    with pytest.raises(PlanError, match="reads all its rows in each round, and rows=10"):
        tk.Plan(tk.learner_for(Ridge()), sync=tk.every(rows=10))


def test_snapshots_do_not_change() -> None:
    model = tk.follow(Tiny(), DATA, "y").model
    with pytest.raises(ValueError, match="read-only"):
        model.states[0]["w"][0] = 1.0
    frames = [DATA, DATA.to_pandas(), DATA.to_pydict(), DATA.to_pylist()]
    first, *others = [model.predict_proba(frame) for frame in frames]
    assert first.shape == (120, 2)
    assert all((first == other).all() for other in others)
    assert (model.predict(DATA) == model.classes_[first.argmax(axis=1)]).all()
    with pytest.raises(tk.DataError, match="row 0 cannot be read: column 'b' is missing"):
        model.predict([{"a": 1.0}])
    with pytest.raises(tk.DataError, match="a int is no table"):
        model.predict(3)


def test_changes_are_found_and_answered_however_the_rows_are_cut() -> None:
    before, after = table(4000, 1), table(4000, 2)
    turned = after.set_column(2, "y", pa.array(1 - after["y"].to_numpy()))
    data = pa.concat_tables([before, turned])
    runs = [
        tk.follow(tk.online.Logistic(), data, "y", drift="boost", sync=tk.every(rows=rows))
        for rows in (900, 8000)
    ]
    assert runs[0].changes == runs[1].changes
    assert any("the loss rose" in text for text in runs[0].changes)
    assert any("learns 10 times faster" in text for text in runs[0].changes)
    assert equal(*(run.following.states["node0"] for run in runs))
    scores = runs[0].scores["all"]
    assert set(scores) == {"model", "last label", "majority"}
    assert runs[0].metrics["accuracy"] == scores["model"]["accuracy"] > scores["majority"]["accuracy"]


@pytest.mark.parametrize("kind", ["log", "parquet"])
def test_predictions_and_changes_are_written(tmp_path: Path, kind: str) -> None:
    ids = pa.array(range(8000))
    before, after = table(4000, 1), table(4000, 2)
    turned = after.set_column(2, "y", pa.array(1 - after["y"].to_numpy()))
    data = pa.concat_tables([before, turned]).append_column("id", ids)
    data = data.set_column(
        0, "a", pa.array([None if i == 7 else str(v) for i, v in enumerate(data["a"].to_pylist())])
    )
    folder = tmp_path / "out"
    sink: Any = LogSink(SegmentLog(str(folder))) if kind == "log" else ParquetSink(str(folder))
    given: Any = {"id": "id", "drift": "boost", "store": tmp_path / "s", "sink": sink}
    for until in (3000, "end"):
        tk.follow(tk.online.Logistic(), data, "y", until=until, **given)
    found = tk.follow(tk.online.Logistic(), data, "y", **given)
    source: Any = SegmentLog(str(folder)) if kind == "log" else Folder(str(folder), ends=True)
    rows = {}
    for name in source.partitions():
        with source.open(name) as reader:
            rows[name[8:]] = rows_of(reader, 1000)
    assert {*rows} == {"-node0-0", "-node0.changes"}
    one = rows["-node0-0"]
    assert [row["row"] for row in one] == [*range(8000)] == [int(row["id"]) for row in one]
    assert all(row["predicted"] in (0, 1) and row["probability"] >= 0.5 for row in one[100:])
    right = np.mean([row["predicted"] == y for row, y in zip(one, data["y"].to_pylist(), strict=True)])
    assert right == pytest.approx(found.metrics["accuracy"], abs=2e-3)
    assert [row["change"] for row in rows["-node0.changes"]] == list(found.following.reports["node0"].changes)
    with pytest.raises(PlanError, match="of another run: sink was"):
        tk.follow(tk.online.Logistic(), data, "y", id="id", drift="boost", store=tmp_path / "s")


@final
@dataclass(frozen=True, slots=True)
class Failing(Sink):
    """A sink that cannot be written while a file is there."""

    sink: Sink
    full: Path

    def open(self, name: str) -> Output:
        if self.full.exists():
            raise tk.DataError("the disk is full")
        return self.sink.open(name)


def test_what_a_full_sink_lacks_is_written_later(tmp_path: Path) -> None:
    log, full = SegmentLog(str(tmp_path / "out")), tmp_path / "full"
    sink, sync = Failing(LogSink(log), full), tk.every(rows=30)
    full.touch()
    for _ in range(2):
        with pytest.raises(tk.DataError, match="the disk is full"):
            tk.follow(Tiny(), DATA, "y", store=tmp_path / "s", sink=sink, sync=sync)
    full.unlink()
    found = tk.follow(Tiny(), DATA, "y", store=tmp_path / "s", sink=sink, sync=sync)
    assert found.metrics == tk.follow(Tiny(), DATA, "y", sync=sync).metrics
    [name] = log.partitions()
    with log.open(name) as reader:
        assert [row["row"] for row in rows_of(reader, 50)] == [*range(120)]


def test_roles_and_kinds_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    rows = pa.table({"x": [0.5, 1.5, 2.5], "k": [1, 2, 3], "y": [True, False, True]})
    with pytest.raises(DataError, match=r"column 'x': the target holds numbers such as 0.5"):
        tk.follow(tk.online.Logistic(), rows, "x")
    with pytest.raises(DataError, match="column 'k': the target has 3 labels in the first rows, such as 3"):
        tk.follow(tk.online.Logistic(), rows, "k")
    with pytest.raises(PlanError, match="object is no model that learns row by row"):
        tk.follow(object(), rows, "y")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="there is no folder"):
        tk.follow(tk.online.Logistic(), tmp_path / "none", "y")
    with pytest.raises(DataError, match=r"column 'k': it holds whole numbers beyond 2\*\*53"):
        tk.follow(tk.online.Logistic(), rows.set_column(1, "k", pa.array([1, 2, 2**53 + 1])), "y")
    tk.follow(tk.online.Logistic(), rows, "y", store=tmp_path / "s")
    with pytest.raises(PlanError, match="target was 'y' and is 'k'"):
        tk.follow(tk.online.Softmax(), rows, "k", store=tmp_path / "s")


def test_columns_that_no_model_reads_are_named() -> None:
    rows = pa.table({"x": [0.5, 1.5], "z": [[1], [2]], "y": [True, False]})
    found = tk.follow(tk.online.Logistic(), rows, "y")
    notes = [event["text"] for event in found.events if event["event"] == "note"]
    assert "columns that no model reads, by their type: z" in notes


def test_an_id_that_comes_later_is_set_aside() -> None:
    rows = pa.table({"k": [*range(1500), 2**53 + 1], "y": [i % 2 == 0 for i in range(1501)]})
    found = tk.follow(tk.online.Logistic(), rows, "y")
    report = found.following.reports["node0"]
    assert dict(report.rejected) == {"column 'k' holds a whole number beyond 2**53": 1}
    assert report.learned == 1500

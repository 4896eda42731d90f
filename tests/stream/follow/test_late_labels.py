"""Labels that come later: each row is predicted when it comes, and learned once, when its label does."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from killing import counted, kill, stored
from late import parts, rows_and_labels, rule
from tiny import Apart, Tiny

import talkoot as tk
from examples import examples
from laws import rows_of
from talkoot.core.errors import DataError, PlanError
from talkoot.learners.online.state import equal
from talkoot.stream.sinks.folder import LogSink
from talkoot.stream.sources.log.log import SegmentLog
from talkoot.stream.sources.memory import Memory

ROWS, LABELS = rows_and_labels(500)


def cut(data: pa.Table, at: list[int]) -> list[pa.RecordBatch]:
    """The rows of a table in other batches."""
    pieces = [data.slice(a, b - a) for a, b in pairwise([0, *sorted(at), data.num_rows])]
    return [batch for piece in pieces for batch in piece.combine_chunks().to_batches()]


def expected(until: int) -> np.ndarray:
    """The weights of `Tiny` after learning in the order of the labels, without any of talkoot's streams."""
    weights, rows = np.zeros(3), {row["id"]: row for row in ROWS.to_pylist()}
    for label in LABELS.slice(0, until).to_pylist():
        row = rows[label["id"]]
        x = np.array([row["a"], row["b"], 1.0])
        weights += 0.1 * (label["y"] - 1 / (1 + np.exp(-float(weights @ x)))) * x
    return weights


def weights(found: tk.Followed) -> np.ndarray:
    """The weights for label 1, whichever label came first."""
    own = found.following.states["node0"]["w"]
    return own if found.following.labels == (0, 1) else -own


def test_rows_are_learned_in_the_order_of_their_labels_and_predicted_before() -> None:
    found = tk.follow(Tiny(), ROWS, "y", labels=rule(LABELS))
    assert found.following.states["node0"]["seen"].tolist() == [500.0]
    assert weights(found) == pytest.approx(expected(500))
    assert (found.rows, found.labels["labels"], found.labels["waiting"]) == (500, 500, 0)
    assert 0.55 < found.metrics["accuracy"] < 1
    assert found.model.classes_.tolist() == [0, 1]


def test_what_had_not_arrived_is_not_learned() -> None:
    found = tk.follow(Tiny(), ROWS, "y", labels=rule(LABELS), until=300)
    report = found.following.reports["node0"]
    arrived = int((LABELS["at"].to_numpy() <= 298).sum())
    assert report.learned == arrived < 300
    assert weights(found) == pytest.approx(expected(arrived))
    assert found.labels["waiting"] == 300 - arrived
    assert report.predicted == 300
    assert f"{300 - arrived} rows wait for their labels" in repr(found)


@examples(8)
@given(
    at=st.lists(st.integers(0, 500), max_size=5),
    labels=st.lists(st.integers(0, 500), max_size=5),
)
def test_cuts_of_both_streams_do_not_matter(at: list[int], labels: list[int]) -> None:
    sync = tk.every(rows=150)
    one = tk.follow(Tiny(), ROWS, "y", labels=rule(LABELS), sync=sync)
    other = tk.follow(Tiny(), cut(ROWS, at), "y", labels=rule(cut(LABELS, labels)), sync=sync)
    assert equal(one.following.states["node0"], other.following.states["node0"])
    assert one.metrics == other.metrics


LATE_ONE = {"late": True, "rows": [60], "every": 20}
LATE_TWO = {"late": True, "rows": [60, 50], "nodes": 2, "every": 20}


@pytest.mark.parametrize(
    ("settings", "times"),
    [(LATE_ONE, 1), pytest.param(LATE_TWO, 5, marks=pytest.mark.slow)],
    ids=["one", "two"],
)
def test_a_killed_run_ends_as_if_undisturbed(tmp_path: Path, settings: dict[str, Any], times: int) -> None:
    lines = counted(tmp_path / "calm", settings)
    kill(tmp_path / "killed", settings, lines, times)
    assert stored(tmp_path / "killed") == stored(tmp_path / "calm")


def test_the_same_call_goes_on_where_both_streams_were(tmp_path: Path) -> None:
    sync, source = tk.every(rows=100), rule(LABELS, mature=45)
    for until in (100, 200, "end", "end"):
        found = tk.follow(Tiny(), ROWS, "y", labels=source, store=tmp_path, until=until, sync=sync)
    whole = tk.follow(Tiny(), ROWS, "y", labels=source, sync=sync)
    assert equal(found.following.states["node0"], whole.following.states["node0"])
    assert (found.metrics, found.labels) == (whole.metrics, whole.labels)
    with pytest.raises(PlanError, match="labels was"):
        tk.follow(Tiny(), ROWS, "y", labels=rule(LABELS), store=tmp_path)


def test_unknown_repeated_missing_and_reversed_are_named_and_counted(tmp_path: Path) -> None:
    ids = ["a", "b", "a", None, "c", "d"]
    rows = pa.table({"id": ids, "t": [0.0, 1, 2, 3, 4, 100], "x": [1.0, 2, 3, 4, 5, 6]})
    labels = pa.table(
        {
            "id": ["a", "z", "b", None, "a", "c", "b"],
            "at": [5.0, 5, 6, 7, 8, None, 9],
            "y": ["no", "yes", "yes", "no", "yes", "no", "yes"],
        }
    )
    found = tk.follow(Apart(), rows, "y", labels=rule(labels), store=tmp_path)
    counts = found.labels
    assert (counts["unknown"], counts["repeated"], counts["corrected"], counts["waiting"]) == (1, 1, 1, 2)
    assert found.following.reports["node0"].learned == 2
    assert found.rejected == {
        "column 'id' holds no id": 1,
        "a row with this id came before: it is predicted and not learned": 1,
        "label: column 'id' holds no id": 1,
        "label: column 'at' holds no time": 1,
        "label: no row that is waiting or was learned has this id": 1,
    }
    lines = [json.loads(line) for line in (tmp_path / "node0.rejected.jsonl").read_text().splitlines()]
    assert {"id": "z"} in [line["values"] for line in lines if "no row" in line["reason"]]
    assert {"id": "a"} in [line["values"] for line in lines if "came before" in line["reason"]]
    state = found.following.states["node0"]["counts"].tolist()
    assert state == [1.0, 2.0]  # no; yes, of the second row and of the first one, corrected
    notes = [event["text"] for event in found.events if event["event"] == "note"]
    assert any("labels were corrected" in text for text in notes)


def test_no_label_is_negative_and_a_later_one_corrects_it() -> None:
    rows = pa.table({"id": [1, 2, 3, 4], "t": [0.0, 10, 200, 300], "x": [1.0, 2, 3, 4]})
    labels = pa.table({"id": ["1"], "at": [250.0], "y": ["fraud"]})
    late = rule(labels, mature="1m", negative="fine")
    found = tk.follow(Apart(), rows, "y", labels=late)
    assert found.following.labels == ("fine", "fraud")
    assert (found.labels["matured"], found.labels["corrected"], found.labels["waiting"]) == (2, 1, 2)
    assert found.following.states["node0"]["counts"].tolist() == [2.0, 1.0]
    left = tk.follow(Apart(), rows, "y", labels=rule(labels, mature="1m", negative=None))
    assert (left.labels["censored"], left.following.reports["node0"].learned) == (2, 0)
    with pytest.raises(PlanError, match="negative=0\\) is no label of type text"):
        tk.follow(Apart(), rows, "y", labels=rule(labels, mature=60))


def test_a_class_that_is_new_among_labels_widens_the_model() -> None:
    names = pa.array(["abc"[i % 3] if i > 250 else "ab"[i % 2] for i in range(500)])
    found = tk.follow(Apart(), ROWS, "y", labels=rule(LABELS.set_column(2, "y", names)))
    assert found.model.classes_.tolist() == ["a", "b", "c"]
    assert found.following.states["node0"]["counts"].sum() == 500


def test_numbers_and_dates_and_a_stream_without_labels_so_far() -> None:
    times = pa.array(np.arange(500) * 1_000_000, pa.timestamp("us"))
    arrives = pa.array((LABELS["at"].to_numpy() * 1e6).astype(np.int64), pa.timestamp("us"))
    rows, labels = ROWS.set_column(3, "t", times), LABELS.set_column(1, "at", arrives)
    dated = tk.follow(Tiny(), rows, "y", labels=rule(labels, mature="10m"))
    plain = tk.follow(Tiny(), ROWS, "y", labels=rule(LABELS, mature=600))
    assert equal(dated.following.states["node0"], plain.following.states["node0"])
    numbers = tk.follow(tk.online.Linear(), ROWS, "y", labels=rule(LABELS, mature="5s", negative=0.5))
    assert numbers.labels["matured"] > 0
    none = tk.follow(Tiny(), ROWS, "y", labels=rule(LABELS.slice(0, 0), mature="1m"))
    assert none.labels["matured"] == none.following.reports["node0"].learned > 400
    with pytest.raises(DataError, match="no label has come yet"):
        tk.follow(Tiny(), ROWS, "y", labels=rule(LABELS.slice(0, 0), negative=None))


def test_nodes_have_the_labels_of_their_rows() -> None:
    rows, labels = parts([300, 200, 250])
    sync = tk.every(rows=100)
    given: Any = {"labels": rule(Memory(labels)), "sync": sync}
    one = tk.follow(Tiny(), Memory(rows), "y", nodes=3, **given)
    assert one.following.states[""]["seen"].tolist() == [750.0]
    assert one.rejected == {}
    other = tk.follow(Tiny(), Memory(rows), "y", nodes=3, on=tk.Local(2), **given)
    assert equal(one.following.states[""], other.following.states[""])
    merged = pa.concat_tables(labels.values()).sort_by("at")
    alone = tk.follow(Tiny(), Memory(rows), "y", labels=rule(merged), sync=sync)
    assert alone.following.states["node0"]["seen"].tolist() == [750.0]
    assert alone.rejected == {}
    with pytest.raises(PlanError, match="a node needs the labels of its own rows"):
        tk.follow(Tiny(), Memory(rows), "y", nodes=3, labels=rule(merged))


def test_predictions_are_written_when_rows_come(tmp_path: Path) -> None:
    sink = LogSink(SegmentLog(str(tmp_path)))
    found = tk.follow(Tiny(), ROWS, "y", labels=rule(LABELS), sink=sink, until=400)
    [name] = SegmentLog(str(tmp_path)).partitions()
    with SegmentLog(str(tmp_path)).open(name) as reader:
        rows = rows_of(reader, 1000)
    assert [row["id"] for row in rows] == ROWS["id"].to_pylist()[:400]
    assert found.labels["waiting"] > 0


def test_drift_is_watched_when_labels_come() -> None:
    rows, labels = rows_and_labels(6000)
    order = labels["id"].to_pylist()
    turned = [
        y if int(name[2:]) < 3000 else 1 - y for name, y in zip(order, labels["y"].to_pylist(), strict=True)
    ]
    labels = labels.set_column(2, "y", pa.array(turned))
    found = tk.follow(tk.online.Logistic(), rows, "y", labels=rule(labels), drift="boost")
    assert any("the loss rose" in text for text in found.changes)
    assert any(2700 <= one.since <= 3300 for one in found.findings if one.kind == "loss")


def test_what_cannot_be_combined_is_refused() -> None:
    lagged = tk.online.Lagged(tk.online.Logistic())
    with pytest.raises(PlanError, match="reads the label of the row before, and labels come later"):
        tk.follow(lagged, ROWS, "y", labels=rule(LABELS))
    with pytest.raises(PlanError, match="learns without labels"):
        tk.follow(tk.online.KMeans(2), ROWS, "y", labels=rule(LABELS))
    with pytest.raises(PlanError, match="labels= lacks the stream"):
        tk.follow(Tiny(), ROWS, "y", labels=tk.Labels(id="id", time="t", arrives="at"))
    with pytest.raises(PlanError, match=r"labels= lacks Labels\(arrives\)="):
        tk.follow(Tiny(), ROWS, "y", labels=tk.Labels(LABELS, id="id", time="t"))
    with pytest.raises(PlanError, match="id='a' was given, and labels= or features= name 'id'"):
        tk.follow(Tiny(), ROWS, "y", id="a", labels=rule(LABELS))
    with pytest.raises(DataError, match="the stream of labels has no column 'z'"):
        tk.follow(Tiny(), ROWS, "z", labels=rule(LABELS))


def test_a_target_among_the_rows_is_not_read() -> None:
    rows = ROWS.append_column("y", pa.array([1] * 500))
    found = tk.follow(Tiny(), rows, "y", labels=rule(LABELS))
    assert equal(
        found.following.states["node0"],
        tk.follow(Tiny(), ROWS, "y", labels=rule(LABELS)).following.states["node0"],
    )
    notes = [event["text"] for event in found.events if event["event"] == "note"]
    assert any("column 'y' of the rows is not read" in text for text in notes)


def test_ids_and_texts_of_other_libraries_are_read(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": ["a", "b"], "t": [0.0, 9.0], "x": [1.0, 2.0], "shop": ["n", "s"]})
    labels = pl.DataFrame({"id": ["a"], "at": [5.0], "y": ["no"]})
    found = tk.follow(Apart(), frame, "y", labels=rule(labels))
    assert (found.following.reports["node0"].learned, found.model.columns.categories) == (1, ("shop",))
    for name, line in (("rows", {"id": 1, "t": 0, "x": 1}), ("labels", {"id": 1, "at": 5, "y": True})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "all.jsonl").write_text(json.dumps(line) + "\n")
    lines = tk.follow(Tiny(), tmp_path / "rows", "y", labels=rule(tmp_path / "labels"))
    assert (lines.following.reports["node0"].learned, lines.rejected) == (1, {})


def test_labels_out_of_order_are_noted_and_other_clocks_refused() -> None:
    late = rule(LABELS.take(pa.array(np.arange(500)[::-1])))
    found = tk.follow(Tiny(), ROWS, "y", labels=late)
    assert found.following.reports["node0"].learned == 500
    assert any("not in the order" in event.get("text", "") for event in found.events)
    dates = LABELS.set_column(1, "at", pa.array([0] * 500, pa.timestamp("s")))
    with pytest.raises(DataError, match="not known which came first"):
        tk.follow(Tiny(), ROWS, "y", labels=rule(dates))


def test_a_label_in_time_comes_before_its_row_matures_however_few_rows_there_are() -> None:
    rows = pa.table({"id": [*range(9)], "t": np.arange(9) * 1000.0, "x": np.arange(9.0)})
    labels = pa.table({"id": [0, 2, 4], "at": [50.0, 2050.0, 4050.0], "y": [1, 1, 1]})
    found = tk.follow(Tiny(), rows, "y", labels=rule(labels, mature=60))
    assert (found.labels["corrected"], found.labels["matured"], found.labels["waiting"]) == (0, 4, 2)
    assert found.following.reports["node0"].learned == 7

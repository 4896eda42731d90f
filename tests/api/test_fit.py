from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

import talkoot as tk
from patience import patient, soon
from talkoot.api.fit import fit, run
from talkoot.api.job import Job, run_events
from talkoot.api.watching import DelayedListener
from talkoot.core.errors import DataError, PlanError
from talkoot.core.plan import Plan
from talkoot.data.shards import shards
from talkoot.engines.inline import Inline
from talkoot.formats.plans import plan_digest
from talkoot.learners import learner_for
from talkoot.watch.events import read

psutil = pytest.importorskip("psutil")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4)) + np.array([0.0, 10.0, -5.0, 2.0])
Y = X @ [1.0, -2.0, 0.5, 3.0] + RNG.normal(size=90)
SITES = {"a": (X[:20], Y[:20]), "b": (X[20:70], Y[20:70]), "c": (X[70:], Y[70:])}
TABLE = pd.DataFrame(X, columns=["age", "pressure", "pulse", "dose"]).assign(days=Y)


def test_the_model_is_the_one_of_a_single_machine_and_lives_without_us() -> None:
    model = fit(Ridge(), SITES).model
    assert type(model) is Ridge
    np.testing.assert_allclose(model.coef_, Ridge().fit(X, Y).coef_, rtol=1e-9)
    script = "import pickle, sys; m = pickle.load(sys.stdin.buffer); print('talkoot' in sys.modules, m.alpha)"
    done = subprocess.run([sys.executable, "-c", script], input=pickle.dumps(model), capture_output=True)
    assert done.stdout.split() == [b"False", b"1.0"]


def test_a_fit_says_where_and_how_it_went() -> None:
    done = fit(Ridge(), SITES, on=Inline())
    assert list(done.shards) == ["a", "b", "c"]
    assert done.schema.rows == 90
    assert done.engine == Inline()
    assert done.reason
    assert len(done.history) == 1
    assert done.seconds > 0
    assert repr(done).startswith("<Fit: Ridge, 3 nodes, 90 rows, 1 round")


def test_run_takes_a_plan() -> None:
    plan = Plan(learner_for(Ridge()), seed=3)
    done = run(plan, SITES, on=Inline())
    assert done.job.plan is plan
    np.testing.assert_array_equal(done.model.coef_, fit(Ridge(), SITES, on=Inline()).model.coef_)


def test_rows_of_one_source_are_dealt_over_what_the_engine_works_on_at_once() -> None:
    assert len(fit(Ridge(), X, Y, on=Inline(threads=3)).shards) == 3
    assert len(fit(Ridge(), X, Y, on=Inline(threads=3), nodes=1).shards) == 1
    assert list(fit(Ridge(), {"va": (X, Y)}, on=Inline(threads=3)).shards) == ["va"]


def test_columns_by_and_weight_are_handed_on() -> None:
    table = TABLE.assign(site=["a"] * 40 + ["b"] * 50, w=np.arange(90.0))
    done = fit(Ridge(), table, "days", by="site", weight="w", columns=["age", "dose"])
    assert list(done.shards) == ["a", "b"]
    alone = Ridge().fit(TABLE[["age", "dose"]], Y, sample_weight=np.arange(90.0))
    np.testing.assert_allclose(done.model.coef_, alone.coef_, rtol=1e-9)
    assert done.model.feature_names_in_.tolist() == ["age", "dose"]


def test_a_missing_target_is_named_with_the_columns_to_choose_from() -> None:
    with pytest.raises(DataError, match=r"Ridge learns from a target.*target=.*age, pressure, pulse, dose"):
        fit(Ridge(), TABLE)
    with pytest.raises(DataError, match="LogisticRegression learns from a target"):
        fit(LogisticRegression(), X)


def test_a_column_that_is_not_there_gets_the_nearest_name() -> None:
    with pytest.raises(DataError, match="'day'.*Did you mean 'days'"):
        fit(Ridge(), TABLE, "day")


def test_on_must_be_an_engine() -> None:
    with pytest.raises(PlanError, match="on=4 is no engine"):
        fit(Ridge(), X, Y, on=4)  # type: ignore[arg-type]


def test_the_log_tells_the_run_from_start_to_end(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "events.jsonl"
    done = fit(Ridge(), SITES, log=path)
    assert done.log == path
    events = [event for event in read(path) if event["event"] != "rows"]
    assert [event["event"] for event in events] == ["log", "start", "schema", "round", "end"]
    start, end = events[1], events[-1]
    assert start["rows"] == {"a": 20, "b": 50, "c": 20}
    assert start["digest"] == plan_digest(done.run.plan)
    assert start["engine"] == repr(done.engine)
    assert end["ok"] is True
    names = [event["event"] for event in done.events if event["event"] != "rows"]
    assert names == ["start", "schema", "round", "end"]


def test_a_failed_run_says_so_in_the_log(tmp_path: Path) -> None:
    rows = X.copy()
    rows[3, 1] = np.nan
    with pytest.raises(DataError):
        fit(Ridge(), {"a": (rows, Y)}, log=tmp_path / "events.jsonl")
    end = read(tmp_path / "events.jsonl")[-1]
    assert end["ok"] is False
    assert "node 'a'" in end["error"]


def test_an_interrupt_ends_the_story_and_goes_on() -> None:
    received: list[Mapping[str, Any]] = []
    job = Job.place(Plan(learner_for(Ridge())), shards(SITES), Inline())
    with pytest.raises(KeyboardInterrupt), run_events(job, lambda event, facts: received.append(facts)):
        raise KeyboardInterrupt
    assert received[-1]["error"] == "interrupted"


def test_a_report_opens_without_the_log(tmp_path: Path) -> None:
    page = fit(Ridge(), SITES).report(tmp_path / "report.html").read_text()
    assert "One model from 3 nodes" in page
    assert json.dumps(plan_digest(Plan(learner_for(Ridge())))).strip('"') in page


def test_what_is_kept_back_is_told_once_it_takes_long() -> None:
    received: list[str] = []
    all_received = threading.Event()

    def emit(event: str, facts: Mapping[str, Any]) -> None:
        received.append(event)
        if event == "schema":
            all_received.set()

    with DelayedListener(emit, after=0.01) as delayed:
        delayed("start", {})
        delayed("schema", {})
        assert all_received.wait(10)
        delayed("end", {})
    assert received == ["start", "schema", "end"]


def test_progress_writes_to_stderr_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    fit(Ridge(), SITES, progress=True)
    assert "3 nodes, 90 rows" in capsys.readouterr().err
    fit(Ridge(), SITES)
    assert capsys.readouterr().err == ""


def test_a_scaler_needs_no_target() -> None:
    model = fit(StandardScaler(), TABLE).model
    np.testing.assert_allclose(model.mean_, TABLE.to_numpy().mean(axis=0), rtol=1e-12)


INTERRUPTED = """
import sys
import numpy as np, talkoot as tk
from sklearn.linear_model import LogisticRegression
X = np.random.default_rng(0).normal(size=(50_000, 20))
y = (X[:, 0] > 0).astype(int)
if __name__ == "__main__":
    endless = LogisticRegression(C=1e9, tol=1e-14, max_iter=10**6)
    tk.fit(endless, X, y, on=tk.Local(2), log=sys.argv[1])
"""


def test_ctrl_c_ends_the_run_its_log_and_its_workers(tmp_path: Path) -> None:
    script, log = tmp_path / "job.py", tmp_path / "events.jsonl"
    script.write_text(INTERRUPTED)
    job = subprocess.Popen([sys.executable, script, log], stderr=subprocess.PIPE, start_new_session=True)
    assert soon(lambda: log.exists() and '"round"' in log.read_text())
    family = psutil.Process(job.pid).children(recursive=True)
    assert family
    os.killpg(job.pid, signal.SIGINT)  # as a terminal does: all of the foreground group
    _, said = job.communicate(timeout=patient())
    assert said.decode().rstrip().endswith("KeyboardInterrupt")
    assert "Traceback" in said.decode()
    psutil.wait_procs(family, timeout=patient())
    assert not [process for process in family if process.is_running()]
    last = read(log)[-1]
    assert last["event"] == "end"
    assert last["error"] == "interrupted"


def test_a_target_that_the_estimator_does_not_learn_from_is_left_alone() -> None:
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0], "diagnosis": ["ill", None, "well"]})
    fitted = fit(StandardScaler(), table, "diagnosis").model
    assert fitted.feature_names_in_.tolist() == ["a"]
    assert fitted.mean_.tolist() == [2.0]


def test_a_task_that_reads_samples_is_refused_where_sites_have_rows() -> None:
    torch = pytest.importorskip("torch")

    def build() -> Any:
        module = torch.nn.Linear(2, 1)
        return module, torch.optim.SGD(module.parameters(), lr=0.1)

    task = tk.Torch(build, loss=torch.nn.functional.mse_loss, batch=16, epochs=2)
    with pytest.raises(PlanError, match="reads samples, and sites of a federation have rows. Have sites"):
        fit(task, tk.dataset("images"), "label", on=Inline())

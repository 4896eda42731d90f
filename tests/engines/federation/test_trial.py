"""The trial of a plan: in a process of its own, which is ended; and at sites whose rows are odd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sites import World, plan_of
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import talkoot as tk
from patience import soon
from talkoot.core.errors import DataError
from talkoot.engines.federation.consent import trial
from talkoot.engines.federation.consent.apart import Untried, rehearse_apart
from talkoot.engines.federation.consent.rehearsal import numbers_only, rehearse
from talkoot.engines.federation.consent.trial import explain_at
from talkoot.engines.federation.consent.words import to_text
from talkoot.learners import learner_for

psutil = pytest.importorskip("psutil")
PLAN = tk.Plan(learner_for(LogisticRegression()))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def apart_at(world: World, plan: tk.Plan = PLAN, columns: int = 3, **more: Any) -> Any:
    schema = numbers_only(columns, 2, "y")
    return rehearse_apart(plan, schema, 3, folder=world.oslo.folder, registered={}, **more)


def words(world: World, **changes: Any) -> str:
    return to_text(explain_at(world.desk(), world.proposal(**changes)))


def give(world: World, fraud: Any) -> None:
    """Rows with these targets, as Oslo's claims."""
    columns = {name: np.random.default_rng(0).normal(size=len(fraud)) for name in ("age", "cost")}
    pq.write_table(pa.table({**columns, "fraud": fraud}), world.oslo.folder / "claims.parquet")


def test_a_trial_apart_shows_what_a_rehearsal_here_shows(world: World) -> None:
    assert apart_at(world) == rehearse(PLAN, numbers_only(3, 2, "y"), sites=3)


def test_a_trial_that_does_not_end_is_ended_with_all_that_it_started(world: World, tmp_path: Path) -> None:
    """What a site has registered is imported in the process, and may do anything there."""
    (tmp_path / "hanging.py").write_text(
        "import os, subprocess, sys, time\n"
        "if os.environ.get('HANG'):\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "    open(os.environ['HANG'], 'w').write(f'{os.getpid()} {child.pid}')\n"
        "    time.sleep(600)\n"
        "net = 1\n"
    )
    site = world.oslo.folder / "site.toml"
    site.write_text(site.read_text() + '\n[learners]\nnet = "hanging:net"\n')
    left = tmp_path / "left"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HANG", str(left))
        patch.syspath_prepend(str(tmp_path))
        with pytest.raises(Untried, match="it did not end within 15 s"):
            apart_at(world, seconds=15)
    pids = [int(pid) for pid in left.read_text().split()] if left.exists() else []  # it came so far
    assert soon(lambda: not any(map(is_running, pids)))


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_what_cannot_be_tried_out_is_not_to_be_approved(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "rehearse_apart", lambda *_, **__: _untried())
    text = words(world)
    assert "could not be tried out on invented rows: it did not end within 60 s." in text
    assert "What would leave is not known: do not approve without knowing." in text
    assert "Sizes are not known" not in text
    assert "What is in the way" not in text


def _untried() -> None:
    raise Untried("it did not end within 60 s")


def test_too_many_columns_are_not_tried_out(world: World) -> None:
    with pytest.raises(Untried, match=r"there are 2,001 columns, and a trial takes 2,000 at most"):
        apart_at(world, columns=2001)


def test_a_process_that_takes_too_much_memory_ends_alone(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hungry.py").write_text("import numpy\nnet = numpy.ones(1 << 31)\n")  # 16 GB
    site = world.oslo.folder / "site.toml"
    site.write_text(site.read_text() + '\n[learners]\nnet = "hungry:net"\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Untried, match="its process ended by itself"):
        apart_at(world)


def test_a_plan_that_does_not_fit_the_columns_says_so_as_here(world: World) -> None:
    plan = tk.Plan(learner_for(StandardScaler()), sync=tk.rounds(1))
    assert apart_at(world, plan)
    with pytest.raises(DataError):
        rehearse_apart(PLAN, numbers_only(3), 3, folder=world.oslo.folder, registered={})


@pytest.mark.parametrize(
    "fraud",
    [
        np.array(["ill"] * 60),
        *(pytest.param(np.ones(60, kind), marks=pytest.mark.slow) for kind in (int, bool)),
    ],
    ids=["text", "whole", "bool"],
)
def test_a_site_of_one_class_reads_what_would_leave(world: World, fraud: np.ndarray) -> None:
    give(world, fraud)
    text = words(world)
    assert "What is in the way" not in text
    assert "All rows of this site have one class." in text
    assert "one vector of 3 sums (gradient)" in text


def test_a_masked_plan_on_many_classes_is_tried_out(world: World) -> None:
    give(world, np.arange(120) % 12)
    plan = plan_of(LogisticRegression(), chain=[tk.fixed(), tk.mask()])
    text = words(world, plan=plan)
    assert "What is in the way" not in text
    assert "36 sums" in text

"""Ranks: the answers of one process on the processes of a launcher, and what comes of failures."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import works
from launch import outcomes, ranks, torchrun

import talkoot as tk
from patience import patient
from ports import port
from talkoot.testing.engines import check_engine


def test_without_a_launcher_there_is_one_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    check_engine(tk.Ranks())
    assert (tk.Ranks().workers, tk.Ranks().is_primary) == (1, True)


def test_it_refuses_a_timeout_that_makes_no_sense() -> None:
    with pytest.raises(tk.PlanError, match="positive timeout="):
        tk.Ranks(timeout=0)


def test_all_ranks_get_the_answers_of_one_process_and_the_first_one_shows_how(tmp_path: Path) -> None:
    first, second = outcomes(works.well, tmp_path)
    expected = works.answers(tk.Inline())
    for name, value in expected.items():
        np.testing.assert_allclose(first[0][name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    for mine, theirs in ((first[0], second[0]), (first[1], second[1])):
        assert {k: v.tobytes() for k, v in mine.items()} == {k: v.tobytes() for k, v in theirs.items()}
    assert "loss" in first[2]
    assert second[2] == ""
    assert [path.name for path in tmp_path.iterdir()] == ["0.jsonl"]


def test_under_masks_all_ranks_get_the_bits_of_the_sum_in_the_open() -> None:
    found = [coefficients for rank in outcomes(works.masked, world=3) for coefficients in rank]
    assert len({coefficients.tobytes() for coefficients in found}) == 1
    expected = works.coefficients(tk.Inline(), [tk.fixed()])
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


@pytest.mark.parametrize("sync", ["every step", "every 4 steps"])
@pytest.mark.parametrize(
    ("how", "text"), [("raises", r"(?s)KeyError.*no such word"), ("diverges", "the loss is nan")]
)
def test_all_ranks_stop_at_once_and_tell_what_one_of_them_raised(how: str, text: str, sync: str) -> None:
    free = port()
    environs = [torchrun(rank, 2, free) for rank in range(2)]
    with ranks(works.train, 1, how, sync, environs=environs) as (first, second):
        assert second.receive() == "there"
        for rank in (first, second):
            kind, detail, _ = rank.receive()
            assert re.search(text, f"{kind}: {detail}"), detail
            assert how != "diverges" or kind == "NodeFailed"


@pytest.mark.parametrize(("culprit", "sync"), [(1, "every step"), (0, "every step"), (1, "every 4 steps")])
def test_a_rank_that_is_killed_is_named_to_all_others(culprit: int, sync: str) -> None:
    free = port()
    environs = [torchrun(rank, 3, free) for rank in range(3)]
    with ranks(works.train, culprit, "hangs", sync, environs=environs) as started:
        started[culprit].receive()
        started[culprit].send(signal.SIGKILL)
        for rank in (rank for number, rank in enumerate(started) if number != culprit):
            kind, detail, node = rank.receive()
            assert (kind, node) == ("NodeLost", f"rank {culprit}"), detail


@pytest.mark.parametrize("culprit", [0, 1])
def test_a_rank_that_hangs_is_named_within_the_timeout(culprit: int) -> None:
    free, timeout = port(), patient(4.0)
    environs = [torchrun(rank, 3, free) for rank in range(3)]
    with ranks(works.train, culprit, "hangs", "every step", timeout, environs=environs) as started:
        started[culprit].receive()
        started[culprit].send(signal.SIGSTOP)
        for rank in (rank for number, rank in enumerate(started) if number != culprit):
            kind, detail, node = rank.receive()
            assert (kind, node) == ("NodeSilent", f"rank {culprit}"), detail


def test_a_rank_that_never_comes_is_named() -> None:
    free, timeout = port(), patient(4.0)
    with ranks(works.joins, timeout, environs=[torchrun(rank, 3, free) for rank in (0, 2)]) as started:
        for rank in started:
            error = rank.receive()
            assert isinstance(error, tk.NodeError)
            assert error.node == "rank 1"
            assert f"did not come within {timeout:g} s" in str(error)


def test_whoever_is_new_waits_for_those_at_a_long_step() -> None:
    assert outcomes(works.is_late) == [[b"0", b"1"]] * 2


def test_without_the_first_rank_the_others_say_where_they_looked() -> None:
    free = port()
    with ranks(works.joins, 1.0, environs=[torchrun(1, 2, free)]) as (rank,):
        error = rank.receive()
        assert error.node == "rank 0"
        assert f"127.0.0.1:{free}" in str(error)
        assert "MASTER_ADDR" in error.cure


def test_ranks_that_count_differently_are_refused() -> None:
    free = port()
    environs = [torchrun(0, 2, free), torchrun(1, 3, free)]
    with ranks(works.joins, patient(5.0), environs=environs) as started:
        errors = [rank.receive() for rank in started]
    assert any("rank 0 is one of 2, and rank 1 of 3" in str(error) for error in errors)
    assert all(isinstance(error, tk.TalkootError) for error in errors)


def test_two_processes_that_are_the_same_rank_are_refused() -> None:
    free = port()
    with ranks(
        works.joins, patient(10.0), environs=[torchrun(rank, 3, free) for rank in (0, 1, 1)]
    ) as started:
        errors = [str(rank.receive()) for rank in started]
    assert sum("two processes are rank 1 of 3" in error for error in errors) == 1
    assert sum("node 'rank 2', joining: it did not come" in error for error in errors) == 2


def test_jobs_that_differ_are_refused_and_the_ranks_go_on() -> None:
    for texts in outcomes(works.differ):
        plan, nodes, module, good = texts
        assert re.search(r"rank 0 runs learner .*, and rank 1 runs learner .*epochs=2", plan)
        assert "rank 0 runs node 'b0' of 240 rows, and rank 1 runs node 'b1' of 240 rows" in nodes
        assert "build() gave rank 0 'weight' as float32 (2, 6), and rank 1 'weight'" in module
        assert good == "StandardScaler"


def test_sigterm_saves_and_the_next_start_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    (expected, _), _ = outcomes(works.drains, tmp_path / "other", False)
    free = port()
    with ranks(works.drains, tmp_path / "ours", True, environs=[torchrun(r, 2, free) for r in (0, 1)]) as run:
        for _ in range(works.STEPS):
            assert run[1].receive() == "step"
        run[1].send(signal.SIGTERM)
        (tmp_path / "stop").touch()
        assert [_last(rank) for rank in run] == [143, 143]
    (weights, steps), other = outcomes(works.drains, tmp_path / "ours", False)
    assert works.STEPS <= steps[0] <= 80
    for name, value in expected.items():
        np.testing.assert_array_equal(weights[name], value)
        np.testing.assert_array_equal(other[0][name], value)


def test_sigterm_ends_a_training_in_rounds() -> None:
    free = port()
    environs = [torchrun(rank, 2, free) for rank in range(2)]
    with ranks(works.train, 0, "goes on", "every 4 steps", environs=environs) as run:
        run[0].receive()
        run[0].send(signal.SIGTERM)
        assert [_last(rank) for rank in run] == [143, 143]


def _last(rank: Any) -> Any:
    while (message := rank.receive()) == "step":
        pass
    return message


SCRIPT = """
import sys; sys.path[:0] = {path!r}
import atexit, os, pathlib, numpy as np, works
mine = {folder!r} + "/" + os.environ["RANK"]

@atexit.register
def last():
    threads = pathlib.Path("/proc/self/task").glob("*/comm")
    pathlib.Path(mine + ".threads").write_text("".join(each.read_text() for each in threads))

import talkoot as tk
on = tk.Ranks(checkpoint={folder!r} + "/checkpoints")
module = tk.fit(works.task(), works.X, works.Y, nodes=2, on=on, sync=works.SYNCS[{sync!r}]).model
np.savez(mine, **works.weights(module))
"""


@pytest.mark.parametrize(
    "sync",
    ["every step", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sharded", "every 4 steps"))],
)
def test_torchrun_starts_ranks_and_they_end_with_no_thread_of_a_group(tmp_path: Path, sync: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(path=sys.path, folder=str(tmp_path), sync=sync))
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        str(script),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patient(), check=False)
    assert done.returncode == 0, done.stderr
    module = tk.fit(works.task(), works.X, works.Y, nodes=2, on=tk.Inline(), sync=works.SYNCS[sync]).model
    for rank in range(2):
        assert "gloo" not in (tmp_path / f"{rank}.threads").read_text()
        found = np.load(tmp_path / f"{rank}.npz")
        for name, value in works.weights(module).items():
            np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5)

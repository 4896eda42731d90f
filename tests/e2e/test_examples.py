"""The examples as a reader runs them: real processes, and what they print holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from patience import patient
from talkoot.testing.network import Hosts

pytest.importorskip("torch")
ROOT = Path(__file__).parents[2]
XRAYS = ROOT.parent / "shared" / "data" / "pneumonia_28" / "pneumonia_balanced.npz"
UNIFORM = np.log2(96)  # bits per character of who knows nothing


def run(example: str, *words: object, **environ: str) -> str:
    """What an example prints."""
    script = [sys.executable, str(ROOT / "examples" / example / "train.py"), *map(str, words)]
    told = {**os.environ, "OMP_NUM_THREADS": "1", **environ}
    done = subprocess.run(script, capture_output=True, text=True, env=told, timeout=patient())
    assert done.returncode == 0, done.stderr
    return done.stdout


def numbers(pattern: str, text: str) -> list[float]:
    """The numbers in place of each # of a pattern."""
    found = re.search(re.escape(pattern).replace(r"\#", r"([\d.,]+\d)"), text)
    assert found is not None, text
    return [float(number.replace(",", "")) for number in found.groups()]


def bits(name: str, text: str) -> list[float]:
    """A row of the table of bits per character."""
    row = next(line for line in text.splitlines() if line.startswith(name))
    return [float(number) for number in row.removeprefix(name).split()]


def test_digits_are_learned_in_this_process_and_reported(tmp_path: Path) -> None:
    said = run("images", "--nodes", 1, "--epochs", 4, "--report", tmp_path / "run.html")
    accuracy, area = numbers("on 360 unseen images: accuracy #, AUC #", said)
    assert accuracy > 0.95
    assert area > 0.99
    first, last = numbers("loss # -> #", said)
    assert last < first / 10
    assert "Inline(threads=1)" in said
    assert "<svg" in (tmp_path / "run.html").read_text()


@pytest.mark.slow
def test_one_word_moves_them_to_workers_that_meet_now_and_then() -> None:
    said = run("images", "--on", "local", "--sync", 20, "--epochs", 4)
    assert numbers("on 360 unseen images: accuracy #", said)[0] > 0.9
    assert "Local(workers=2)" in said


@pytest.mark.slow
def test_a_folder_of_images_is_learned_too(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for part, number in (("train", 40), ("test", 5)):
        for name, shade in (("dark", 40), ("light", 200)):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for index in range(number):
                image.new("RGB", (12, 12), (shade, shade + index, 90)).save(folder / f"{index}.png")
    said = run("images", "--data", tmp_path, "--nodes", 1, "--epochs", 8)
    assert numbers("on 10 unseen images: accuracy #, AUC #", said) == [1.0, 1.0]


@pytest.mark.slow
@pytest.mark.skipif(not XRAYS.exists(), reason="the X-rays are not here")
def test_pneumonia_is_seen_as_well_as_by_a_network_in_a_loop() -> None:
    said = run("images", "--data", XRAYS, "--nodes", 1)
    accuracy, area = numbers("on 468 unseen images: accuracy #, AUC #", said)
    assert accuracy > 0.83  # .880 and .938 by a network of this size, which a seed moves by some hundredths
    assert area > 0.92


@pytest.mark.slow
def test_two_hosts_with_a_slow_link_learn_together_in_few_bytes() -> None:
    if obstacle := Hosts.possible():
        pytest.skip(obstacle)
    said = run("speeches", "--epochs", 0.2, "--steps", 10)
    assert said.startswith("Two hosts, 20 Mbit/s and 50 ms apart.")
    first, last = numbers("training loss # -> #", said)
    assert last < first
    for name in ("until 1900 alone", "since 1901 alone", "together"):
        assert max(bits(name, said)) < UNIFORM - 2
    sent, plain = numbers("Each host sent # MB. Gradients in float32 at every step would be # MB", said)
    assert 0 < sent < plain / 20
    assert len(said.partition("goes on:\n")[2]) > 200


@pytest.mark.slow
def test_without_a_network_of_its_own_it_says_so_and_trains_in_plain_processes() -> None:
    said = run("speeches", "--epochs", 0.1, "--steps", 5, PATH="")
    assert said.startswith("Two processes of this machine and no slow link, as there is no command 'ip'")
    assert max(bits("together", said)) < UNIFORM
    assert "MB" not in said


def test_the_page_on_deep_learning_runs_from_its_top_to_its_end() -> None:
    page = (ROOT / "docs" / "deep-learning.md").read_text()
    fences = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(fences) >= 8
    script = "\n".join(fences)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=patient()
    )
    assert done.returncode == 0, done.stderr

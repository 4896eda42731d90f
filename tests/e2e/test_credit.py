"""The example of banks: its figures beside scikit-learn's and SciPy's, and its page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.base import clone
from sklearn.metrics import brier_score_loss, roc_auc_score

import talkoot as tk
from patience import patient

EXAMPLE = Path(__file__).parents[2] / "examples" / "credit"
TAIWAN = EXAMPLE.parents[2] / "shared" / "data" / "uci_credit_default" / "UCI_Credit_Card.csv.gz"
MODULES = ("banks", "scoring", "pages", "report")


@pytest.fixture(scope="module")
def example() -> Iterator[SimpleNamespace]:
    """The example's modules, with a model of a few trees so that it is quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE))
        found = SimpleNamespace(**{name: __import__(name) for name in MODULES})
        few = {
            "BOOSTED": clone(found.scoring.BOOSTED).set_params(max_iter=4, learning_rate=0.5),
            "FOLDS": 2,
            "DRAWS": 40,
        }
        for name, value in few.items():
            patch.setattr(found.scoring, name, value)
        yield found
    for name in MODULES:
        del sys.modules[name]


@pytest.fixture(scope="module")
def findings(example: SimpleNamespace) -> Any:
    """All that is measured of German credit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(example.report, "MANY", 0)  # one split into folds
        return example.report.judge(example.banks.load())


def test_german_credit_is_whole_and_coded(example: SimpleNamespace) -> None:
    found = example.banks.load()
    assert found.X.shape == (1000, 17)
    assert np.isfinite(found.X).all()
    assert found.default.sum() == 300
    sizes = [int((found.bank == name).sum()) for name in found.names]
    assert sizes == [280, 234, 193, 103, 97, 93]
    assert not {"sex", "foreign_worker", "personal_status_and_sex", "lender"} & set(found.columns)
    assert example.banks.meaning("checking", 1.0) == "below 0"
    assert example.banks.meaning("amount", 14027.0) == "14,027"


def test_credit_cards_are_banks_by_education_or_age(example: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "cards.csv"
    lines = ["ID,LIMIT_BAL,SEX,EDUCATION,MARRIAGE,AGE,PAY_0,default.payment.next.month"]
    people = ((1, 1, 29, 0), (2, 2, 30, 1), (2, 3, 49, 0), (1, 6, 75, 1))
    lines += [
        f"{i},1000,{sex},{education},1,{age},-1,{bad}" for i, (sex, education, age, bad) in enumerate(people)
    ]
    path.write_text("\n".join(lines) + "\n")
    by_age, found = example.banks.load(path, "age"), example.banks.load(path, "education")
    assert by_age.bank.tolist() == ["up to 29", "30 to 39", "40 to 49", "50 and over"]
    assert found.bank.tolist() == ["graduate school", "university", "high school", "other"]
    assert list(found.columns) == ["limit_bal", "education", "age", "pay_0"]
    assert found.default.tolist() == [0, 1, 0, 1]
    assert found.groups["sex"].tolist() == ["men", "women", "women", "men"]
    assert found.groups["age"].tolist() == ["26 to 59", "26 to 59", "26 to 59", "60 and over"]


def test_figures_are_those_of_scikit_learn_and_scipy(example: SimpleNamespace) -> None:
    scoring, rng = example.scoring, np.random.default_rng(0)
    default = rng.integers(0, 2, 200)
    scores = np.round(rng.random(200), 1)  # with ties
    assert scoring.area(default, scores) == pytest.approx(roc_auc_score(default, scores), abs=1e-12)
    assert scoring.brier(default, scores)[0] == pytest.approx(brier_score_loss(default, scores))
    for part, whole in ((0, 7), (3, 9), (9, 9), (40, 200)):
        value, low, high = scoring.share(part, whole)
        wilson = binomtest(part, whole).proportion_ci(method="wilson")
        assert (value, low, high) == pytest.approx((part / whole, wilson.low, wilson.high), abs=1e-9)
    # 56/70 and 48/80: Newcombe 1998, Statistics in Medicine 17, table II, example (a), method 10
    one, two = scoring.share(56, 70), scoring.share(48, 80)
    assert scoring.difference(one, two) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_twenty_points_double_the_odds(example: SimpleNamespace) -> None:
    points = example.scoring.points
    assert points(np.log(1 / 50)) == pytest.approx(600)
    assert points(np.log(1 / 100)) == pytest.approx(620)
    assert example.scoring.approved(np.array([0.16, 0.17])).tolist() == [True, False]


def test_groups_are_compared_among_those_who_pay(example: SimpleNamespace) -> None:
    groups = np.array(["a"] * 200 + ["b"] * 20)
    default = np.array([0] * 100 + [1] * 100 + [0] * 10 + [1] * 10)
    scores = np.where(groups == "a", 0.1, 0.9)
    found = example.scoring.fairness(groups, default, scores)
    assert (found["a"]["few"], found["b"]["few"]) == (False, True)
    assert found["a"]["gap"][0] == 1.0
    assert found["b"]["gap"][2] < 0
    assert found["a"]["defaults"][0] == 0.5


def test_no_score_is_of_a_model_that_has_seen_the_applicant(example: SimpleNamespace) -> None:
    found = example.banks.load()
    fold = example.scoring.folds(found, 0)
    for bank in found.names:
        counts = np.bincount(fold[(found.bank == bank) & (found.default == 1)])
        assert counts.max() - counts.min() <= 1
    tables = found.tables(fold != 0)
    assert sum(table.num_rows for table in tables.values()) == (fold != 0).sum()
    assert all("default" in table.column_names for table in tables.values())


def test_points_of_a_decision_add_up_to_its_score(example: SimpleNamespace, findings: Any) -> None:
    assert len(findings.decisions) == 2
    found = findings.found
    for one in findings.decisions:
        log_odds = findings.fit.model.decision_function(found.frame([one.row]))
        assert one.total == pytest.approx(float(example.scoring.points(log_odds)[0]), abs=1e-6)
        assert all(points < 0 for *_, points in one.reasons)


def test_masks_change_nothing_and_the_page_stands_alone(example: SimpleNamespace, findings: Any) -> None:
    assert findings.apart == 0.0
    assert isinstance(findings.fit, tk.Fit)
    text = example.pages.render(findings)
    for heading in (
        "Does it pay?",
        "Are the probabilities right?",
        "Scorecard",
        "Is it fair?",
        "does not show",
    ):
        assert heading in text
    assert text.count("<svg") == 4
    assert "few: below 50" in text
    refused = replace(findings, scores=np.full(1000, 0.3), decisions=[])
    assert "0% are approved, of whom - default" in example.pages.render(refused)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL).lower().split()


def test_a_file_that_is_not_there_is_named(
    example: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["report.py", "--data", "nowhere.csv"])
    with pytest.raises(SystemExit):
        example.report.main()
    assert "--data nowhere.csv" in capsys.readouterr().err


@pytest.mark.slow
def test_together_beats_alone_on_german_credit(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    value, low, _ = gains(done.stdout)
    assert value > 0.04
    assert low > 0
    assert (tmp_path / "runs" / "credit.html").exists()


@pytest.mark.slow
@pytest.mark.skipif(not TAIWAN.exists(), reason="the credit cards' data are not here")
def test_credit_cards_of_taiwan_are_scored_too(tmp_path: Path) -> None:
    done = run(tmp_path, "--data", TAIWAN)
    assert done.returncode == 0, done.stderr
    assert "30,000 applicants of 4 banks" in done.stdout
    assert "sex: women" in (tmp_path / "runs" / "credit.html").read_text()


def gains(out: str) -> list[float]:
    """The mean gain over the banks and its interval, as it was printed."""
    found = re.search(r"^mean of all .* ([+-][\d.]+) \[([+-][\d.]+), ([+-][\d.]+)\]$", out, re.MULTILINE)
    assert found is not None, out
    return [float(number) for number in found.groups()]


def run(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """The example in a folder."""
    environment = {name: value for name, value in os.environ.items() if name != "TALKOOT_CREDIT"}
    return subprocess.run(
        [sys.executable, str(EXAMPLE / "report.py"), *map(str, words)],
        cwd=folder,
        env={**environment, "OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
        timeout=patient(600),
    )

"""The command line: what it does, what it says of bad usage and bad data, and its exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline

import talkoot as tk
from patience import patient, soon
from talkoot.cli import main
from talkoot.cli.estimators import estimator, rows
from talkoot.core.errors import DataError, NotDistributable, PlanError
from talkoot.stream.sources.log.log import SegmentLog
from talkoot.watch.events import read

COMMANDS = ("demo", "fit", "compare", "check", "verify", "report")


@pytest.fixture
def claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with claims.parquet, north.csv and south.csv in it, to work in."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    table = pa.table(
        {
            "age": X[:, 0],
            "cost": X[:, 1],
            "days": X[:, 2],
            "fraud": (X @ [1.0, -2.0, 0.5] + rng.normal(size=200) > 0).astype(np.int64),
            "region": np.where(rng.random(200) < 0.5, "north", "south"),
        }
    )
    pq.write_table(table, tmp_path / "claims.parquet")
    for region in ("north", "south"):
        part = table.filter(pa.compute.equal(table["region"], region)).drop_columns(["region"])
        pa.csv.write_csv(part, tmp_path / f"{region}.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pooled(claims: Path) -> tuple[np.ndarray, np.ndarray]:
    table = pq.read_table(claims / "claims.parquet")
    X = np.column_stack([table[name].to_numpy() for name in ("age", "cost", "days")])
    return X, table["fraud"].to_numpy()


def talk(capsys: pytest.CaptureFixture[str], command: str) -> tuple[int, str, str]:
    """Run a command line; its exit code, output and errors."""
    try:
        code = main(command.split())
    except SystemExit as stop:
        code = int(stop.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_help_is_instant_and_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom talkoot.cli import main\ntry: main(['--help'])\n"
        "except SystemExit: pass\nheavy = {'numpy', 'sklearn', 'rich', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in COMMANDS)


def test_without_a_command_it_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = talk(capsys, "")
    assert code == 2
    assert all(f"    {command} " in out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    code, out, _ = talk(capsys, f"{command} --help")
    assert code == 0
    assert f"example:\n  talkoot {command}" in out
    assert max(map(len, out.splitlines())) < 100


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert talk(capsys, "--version")[:2] == (0, f"talkoot {tk.__version__}\n")


def test_fit_writes_a_model_a_log_and_a_report(claims: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = (
        "fit LogisticRegression --set C=0.5 --set tol=1e-8 --data claims.parquet --target fraud --by region"
    )
    code, out, err = talk(capsys, f"{command} --threads 1 --out runs/one")
    assert (code, err) == (0, "")
    assert "LogisticRegression: 2 nodes, 200 rows" in out
    model = tk.load(claims / "runs/one/model.talkoot")
    X, y = pooled(claims)
    expected = LogisticRegression(C=0.5, tol=1e-8).fit(X, y)
    assert type(model) is LogisticRegression
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-5)
    assert "<h1>One model from 2 nodes</h1>" in (claims / "runs/one/report.html").read_text()
    assert [e["event"] for e in read(claims / "runs/one")][-1] == "end"


def test_quiet_prints_the_model_and_nothing_else(claims: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = talk(
        capsys, "fit Ridge --data north=north.csv south=south.csv --target cost --threads 2 --quiet"
    )
    assert (code, err) == (0, "")
    (path,) = out.splitlines()
    assert path.startswith("runs/")
    assert isinstance(tk.load(claims / path), Ridge)


def test_several_names_make_a_pipeline(claims: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = "fit StandardScaler Ridge --set alpha=2 --data claims.parquet --target cost"
    code, out, _ = talk(capsys, f"{command} --columns age days --nodes 3 --threads 1 --quiet")
    assert code == 0
    model = tk.load(claims / out.strip())
    assert isinstance(model, Pipeline)
    assert model[-1].alpha == 2
    assert model[0].feature_names_in_.tolist() == ["age", "days"]


def test_compare_prints_scores_and_writes_a_report(claims: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = "compare Ridge --data north=north.csv south=south.csv --target cost --folds 3"
    code, out, err = talk(capsys, f"{command} --threads 1 --out c")
    assert (code, err) == (0, "")
    assert "r2 on held-out rows, 3 folds" in out
    assert "Does working together pay?" in (claims / "c/report.html").read_text()


def test_verify_says_whether_it_is_the_same(claims: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = talk(capsys, "verify Ridge --data claims.parquet --target cost --by region --threads 1")
    assert code == 0
    assert "the same as scikit-learn's" in out


def test_check_ends_with_one_if_training_would_fail(claims: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = talk(capsys, "check --data north=north.csv south=south.csv --target fraud --threads 1")
    assert (code, err) == (0, "")
    assert out.startswith("2 nodes")
    text = (claims / "south.csv").read_text().splitlines()
    (claims / "south.csv").write_text(
        "\n".join([text[0], *(f"old,{line.partition(',')[2]}" for line in text[1:])])
    )
    code, out, err = talk(capsys, "check --data north=north.csv south=south.csv --target fraud --threads 1")
    assert (code, err) == (1, "")
    assert "south, age" in out


def test_a_strict_check_ends_with_one_for_warnings_too(
    claims: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "check --data north=north.csv south=south.csv --target fraud --threads 1"
    assert talk(capsys, f"{command} --strict")[0] == 0
    text = (claims / "south.csv").read_text().splitlines()
    scaled = [f"{float(line.partition(',')[0]) * 1000},{line.partition(',')[2]}" for line in text[1:]]
    (claims / "south.csv").write_text("\n".join([text[0], *scaled]))
    code, out, _ = talk(capsys, command)
    assert (code, "the unit looks different" in out) == (0, True)
    assert talk(capsys, f"{command} --strict")[0] == 1


def test_report_of_a_run(claims: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk(capsys, "fit StandardScaler --data claims.parquet --columns age --threads 1 --out r --quiet")
    (claims / "r/report.html").unlink()
    code, out, _ = talk(capsys, "report r")
    assert (code, out) == (0, "r/report.html\n")
    assert talk(capsys, "report r/events.jsonl --out other.html")[:2] == (0, "other.html\n")
    assert (claims / "other.html").read_text() == (claims / "r/report.html").read_text()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("fti", "talkoot: there is no 'fti'; did you mean fit?"),
        ("fit Ridge", "talkoot fit: the following arguments are required: --data"),
        ("fit Ridge --data x --traget y", "unknown argument --traget; did you mean --target?"),
        ("fit Ridge --data x --workers 0", "argument --workers: 0 is not 1 or more"),
        ("fit Ridge --data x --workers two", "argument --workers: 'two' is not a whole number"),
        ("fit Ridge --data x --workers 2 --threads 2", "--threads: not allowed with argument --workers"),
        ("fit Rigde --data x", "there is no estimator 'Rigde'. Did you mean Ridge?"),
        ("fit logisticregression --data x", "Did you mean LogisticRegression?"),
        ("fit Ridge --set aplha=1 --data x", "Ridge has no parameter 'aplha'. Did you mean alpha?"),
        ("fit Ridge --set alpha --data x", "--set alpha has no value. Write --set name=value"),
        ("fit GradientBoostingRegressor --data x", "GradientBoostingRegressor cannot be distributed"),
        ("fit Ridge --data nowhere.parquet --target y", "nowhere.parquet"),
        ("fit Ridge --data a=north.csv south.csv", "--data south.csv has no name, and others have"),
        ("fit Ridge --data claims.parquet --target cost --by regoin", "Did you mean 'region'?"),
        ("compare Ridge --data claims.parquet --target cost", "there is one node, so there is nothing to"),
        ("report nowhere", "cannot read the event log 'nowhere'"),
        ("report north.csv", "'north.csv' is not an event log: line 1 is no event"),
    ],
)
@pytest.mark.usefixtures("claims")
def test_bad_usage_is_one_clear_message(capsys: pytest.CaptureFixture[str], command: str, said: str) -> None:
    code, out, err = talk(capsys, command)
    assert code == 2
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
    assert not Path("runs").exists()


def test_debug_shows_where_it_was_raised(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = talk(capsys, "fit Rigde --data x --debug")
    assert code == 2
    assert "Traceback" in err
    assert err.endswith("Did you mean Ridge?\n")


def test_an_error_of_our_own_is_told_from_those_of_users(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talkoot.cli.commands.write_report", lambda *paths: 1 / 0)
    code, _, err = talk(capsys, "report x")
    assert code == 3
    assert "ZeroDivisionError" in err
    assert "please report it" in err


@pytest.mark.parametrize(("target", "said"), [("cost", "region"), ("csot", "Did you mean 'cost'?")])
@pytest.mark.usefixtures("claims")
def test_a_run_that_fails_leaves_a_report_of_it(
    capsys: pytest.CaptureFixture[str], target: str, said: str
) -> None:
    code, _, err = talk(capsys, f"fit Ridge --data claims.parquet --target {target} --threads 1 --out broken")
    assert code == 2
    assert said in err
    assert "Traceback" not in err
    assert "It did not finish." in Path("broken/report.html").read_text()


@pytest.mark.usefixtures("claims")
@pytest.mark.parametrize(
    "command",
    [
        "fit Ridge --data claims.parquet --target csot",
        "fit Ridge --data claims.parquet --target cost",
        "compare Ridge --data north=north.csv south=south.csv --target csot",
        "compare Ridge --data claims.parquet --target cost",
    ],
)
def test_a_run_that_fails_before_its_first_round_leaves_nothing(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert talk(capsys, f"{command} --threads 1")[0] == 2
    assert not Path("runs").exists()
    Path("runs", "before").mkdir(parents=True)
    assert talk(capsys, f"{command} --threads 1")[0] == 2
    assert [folder.name for folder in Path("runs").iterdir()] == ["before"]


@pytest.mark.parametrize(
    "command",
    [
        "fit Ridge --data claims.parquet --target cost --columns age --out {}",
        "compare Ridge --data north=north.csv south=south.csv --target cost --out {}",
        "demo --out {}",
        "demo --picture {}/picture.svg",
        "report run --out {}/report.html",
    ],
)
@pytest.mark.parametrize("place", ["a_file", "a_file/below", "/proc/none"])
def test_a_place_that_cannot_be_written_to_is_said_before_anything_is_learned(
    claims: Path, capsys: pytest.CaptureFixture[str], command: str, place: str
) -> None:
    (claims / "a_file").write_text("")
    talk(capsys, "fit StandardScaler --data claims.parquet --columns age --out run --threads 1")
    code, out, err = talk(capsys, command.format(place))
    assert (code, out) == (2, "")
    assert "cannot write" in err
    assert place in err
    assert "Traceback" not in err
    assert (claims / "a_file").read_text() == ""
    assert not Path("runs").exists()


@pytest.mark.usefixtures("claims")
def test_empty_paths_are_not_the_present_folder(capsys: pytest.CaptureFixture[str]) -> None:
    for item in ("", "a="):
        assert main(["fit", "Ridge", "--data", item, "--target", "cost"]) == 2
        assert "a path is empty" in capsys.readouterr().err


def test_ctrl_c_ends_a_run_with_130_and_no_traceback(claims: Path) -> None:
    rng = np.random.default_rng(0)
    table = pa.table({f"c{i}": rng.normal(size=100_000) for i in range(30)} | {"y": rng.normal(size=100_000)})
    pq.write_table(table, claims / "big.parquet")
    code = "import sys; from talkoot.cli import main; sys.exit(main())"
    command = "fit HuberRegressor --set max_iter=100000 --set tol=1e-300 --data big.parquet --target y"
    words = [*command.split(), "--workers", "2", "--nodes", "2", "--out", "stopped"]
    with subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True) as child:
        log = claims / "stopped" / "events.jsonl"
        assert soon(lambda: log.exists() and "schema" in log.read_text())
        os.kill(child.pid, signal.SIGINT)
        assert child.stderr is not None
        errors = child.stderr.read()
        assert child.wait(timeout=patient()) == 130
    assert errors.strip() == "Interrupted."
    assert read(log)[-1]["ok"] is False


def test_a_closed_pipe_is_no_error(claims: Path) -> None:
    code = "import sys; from talkoot.cli import main; sys.exit(main())"
    words = ["verify", "Ridge", "--data", "claims.parquet", "--target", "cost", "--columns", "age"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == ""
        assert child.wait(timeout=patient()) == 0
    del claims


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["C=0.5"], 0.5),
        (["logisticregression__C=2"], 2),
        (["C=1e-3"], 1e-3),
    ],
)
def test_settings_find_their_step(settings: list[str], expected: float) -> None:
    made = estimator(["StandardScaler", "LogisticRegression"], settings)
    assert expected == made[-1].C


def test_settings_keep_their_type() -> None:
    made = estimator(
        ["LogisticRegression"], ["solver=newton-cholesky", "class_weight={0: 1, 1: 2}", "tol=1e-6"]
    )
    assert (made.solver, made.class_weight, made.tol) == ("newton-cholesky", {0: 1, 1: 2}, 1e-6)


def test_settings_that_several_steps_have_must_be_said_in_full() -> None:
    with pytest.raises(PlanError, match="standardscaler__copy, simpleimputer__copy"):
        estimator(["StandardScaler", "SimpleImputer", "Ridge"], ["copy=False"])


def test_estimators_that_need_parts_say_how() -> None:
    with pytest.raises(PlanError, match="needs parts that a command line cannot give"):
        estimator(["Pipeline"])


def test_estimators_that_no_learner_fits_are_told_from_typos() -> None:
    from talkoot.learners import learner_for

    with pytest.raises(NotDistributable):
        learner_for(estimator(["GradientBoostingClassifier"]))


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (["a.csv"], "a.csv"),
        (["a.csv", "b.csv"], ["a.csv", "b.csv"]),
        (["north=a.csv"], {"north": "a.csv"}),
        (["s3://bucket/year=2024/a.parquet"], "s3://bucket/year=2024/a.parquet"),
        (["data/year=2024/*.parquet"], "data/year=2024/*.parquet"),
        (["north=data/year=2024/x.csv", "south=y.csv"], {"north": "data/year=2024/x.csv", "south": "y.csv"}),
    ],
)
def test_rows_are_one_source_or_named_nodes(items: list[str], expected: object) -> None:
    assert rows(items) == expected


def test_two_nodes_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match="two nodes of --data have the same name"):
        rows(["a=1.csv", "a=2.csv"])


def test_follow_goes_on_where_it_was(claims: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SegmentLog("payments").writer("0") as writer:
        writer.append(pq.read_table("claims.parquet"))
    command = ["follow", "payments", "--target", "fraud", "--learner", "Logistic", "--store", "runs/fraud"]
    command += ["--set", "l2=0.1", "--quiet"]
    assert main([*command, "--until", "120", "--every", "50"]) == 0
    assert "Logistic: version 4, 120 rows, log_loss" in capsys.readouterr().out
    assert main(command) == 0
    assert "200 rows" in capsys.readouterr().out
    assert (claims / "runs" / "fraud" / "report.html").exists()
    for wrong, message in (
        (["--learner", "logistik"], "Did you mean logistic?"),
        (["--set", "depth=3"], "depth"),
        (["--target", "frau"], "is no column of the stream"),
        (["--nodes", "3"], "3 nodes cannot share 1 partitions"),
    ):
        assert main([*command, *wrong, "--store", f"runs/{wrong[0]}"]) == 2
        assert message in capsys.readouterr().err
    (claims / "lines").mkdir()
    (claims / "lines" / "monday.jsonl").write_text('{"x": 1.5, "y": true}\n{"x": -1, "y": false}\n')
    assert main(["follow", "lines", "--target", "y", "--store", "runs/lines", "--quiet"]) == 0
    assert "2 rows" in capsys.readouterr().out
    assert main(["follow", "nowhere", "--target", "fraud"]) == 2
    assert "there is no folder 'nowhere'" in capsys.readouterr().err


def test_follow_with_labels_that_come_later(claims: Path, capsys: pytest.CaptureFixture[str]) -> None:
    streams: dict[str, list[dict[str, object]]] = {
        "payments": [{"payment": i, "when": float(i), "amount": i % 7 * 1.5} for i in range(60)],
        "reports": [{"payment": i, "at": i + 5.5, "fraud": i % 7 > 4} for i in range(0, 60, 2)],
    }
    for name, lines in streams.items():
        (claims / name).mkdir()
        (claims / name / "all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = ["follow", "payments", "--target", "fraud", "--id", "payment", "--time", "when", "--quiet"]
    late = ["--labels", "reports", "--arrives", "at", "--mature", "10", "--negative", "False"]
    assert main([*command, *late, "--drift", "boost", "--store", "runs/late"]) == 0
    printed = capsys.readouterr().out
    assert "60 rows" in printed
    assert "labels  60 rows, 30 labels" in printed
    assert "matured" in printed
    assert main([*command, "--arrives", "at"]) == 2
    assert "--arrives is for labels that come later. Name their stream: --labels." in capsys.readouterr().err
    assert main(["follow", "payments", "--target", "fraud", "--labels", "reports"]) == 2
    assert "Name it with --id." in capsys.readouterr().err

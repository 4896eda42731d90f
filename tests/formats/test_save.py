"""What `Fit.save` writes is what `tk.load` reads: the same answers, and nothing of anybody's is run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge, TweedieRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, OneHotEncoder, StandardScaler

import talkoot as tk
from talkoot.core.errors import DataError
from talkoot.formats.estimators import fitted_from_bytes, fitted_to_bytes
from talkoot.formats.frames import from_bytes, to_bytes
from talkoot.learners import catalogue

sys.path.insert(0, str(Path(__file__).parent))
import contextlib

import nets

RNG = np.random.default_rng(0)
X = np.abs(RNG.normal(size=(60, 3))) + 0.1
LABELS = (X[:, 0] > 0.7).astype(int)
TABLE = pd.DataFrame({"dose": X[:, 0], "age": X[:, 1], "site": np.where(LABELS, "lima", "oslo")})
COMPOSED = make_pipeline(
    make_column_transformer(
        (OneHotEncoder(), make_column_selector("site")),
        (make_pipeline(FunctionTransformer(np.log1p), StandardScaler()), ["dose", "age"]),
    ),
    LogisticRegression(),
)


def plain(kind: type) -> bool:
    if not kind.__module__.startswith("sklearn."):  # others are imported where whoever loads them trusts them
        return False
    return kind.__name__ not in ("Pipeline", "ColumnTransformer", "FeatureUnion", "HashingVectorizer")


def responses(model: Any, rows: Any) -> list[Any]:
    names = ("predict", "predict_proba", "transform")
    found = [getattr(model, name)(rows) for name in names if hasattr(model, name)]
    return [each.toarray() if hasattr(each, "toarray") else np.asarray(each) for each in found]


@pytest.mark.parametrize("kind", [k for k in catalogue() if plain(k)], ids=lambda k: k.__name__)
@pytest.mark.filterwarnings("ignore")
def test_every_estimator_of_the_catalogue_comes_back(kind: type[BaseEstimator], tmp_path: Path) -> None:
    fit = tk.fit(kind(), X, X[:, 1] if kind.__name__ == "GammaRegressor" else LABELS, nodes=2, on=tk.Inline())
    model = tk.load(fit.save(tmp_path / "model.talkoot"))
    assert type(model) is kind
    for ours, theirs in zip(responses(model, X), responses(fit.model, X), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_compositions_with_selectors_and_functions_of_numpy(tmp_path: Path) -> None:
    fit = tk.fit(COMPOSED, (TABLE, LABELS), on=tk.Inline())
    model = tk.load(fit.save(tmp_path / "model.talkoot"))
    np.testing.assert_array_equal(model.predict_proba(TABLE), fit.model.predict_proba(TABLE))


def test_functions_of_a_module_are_imported_only_if_they_are_trusted(tmp_path: Path) -> None:
    fit = tk.fit(make_pipeline(FunctionTransformer(nets.log_dose), Ridge()), X, LABELS, on=tk.Inline())
    path = fit.save(tmp_path / "model.talkoot")
    with pytest.raises(tk.DataError, match=r"it holds nets.log_dose.*trusted=\['nets.log_dose'\]"):
        tk.load(path)
    model = tk.load(path, trusted=["nets.log_dose"])
    np.testing.assert_array_equal(model.predict(X), fit.model.predict(X))


def test_a_lambda_is_refused_by_name_when_it_is_saved(tmp_path: Path) -> None:
    fit = tk.fit(make_pipeline(FunctionTransformer(lambda X: X * 2), Ridge()), X, LABELS, on=tk.Inline())
    with pytest.raises(tk.PlanError, match=r"<lambda>.* cannot be imported by a name.*module of its own"):
        fit.save(tmp_path / "model.talkoot")
    assert not list(tmp_path.iterdir())


def torch_fit(build: Any) -> tk.Fit:
    task = tk.Torch(build, loss=torch.nn.functional.mse_loss, batch=20, epochs=2)
    return tk.fit(task, X.astype(np.float32), LABELS.astype(np.float32), on=tk.Inline(), progress=False)


def test_modules_come_back_by_the_name_of_what_built_them(tmp_path: Path) -> None:
    fit = torch_fit(nets.build)
    path = fit.save(tmp_path / "module.talkoot")
    with pytest.raises(tk.DataError, match=r"names 'nets.build'.*trusted=\['nets.build'\]"):
        tk.load(path)
    module = tk.load(path, trusted=["nets.build"])
    for name, value in fit.model.state_dict().items():
        assert torch.equal(module.state_dict()[name], value), name
    assert module.one.weight is module.two.weight


def test_a_module_of_a_script_is_built_by_the_function_that_is_handed_in(tmp_path: Path) -> None:
    def build() -> Any:
        return nets.build()

    path = torch_fit(build).save(tmp_path / "module.talkoot")
    with pytest.raises(tk.DataError, match=r"tk.load\(path, build=build\)"):
        tk.load(path)
    assert isinstance(tk.load(path, build=build), nets.Tied)
    with pytest.raises(tk.DataError, match="tensors are not those of the module"):
        tk.load(path, build=lambda: torch.nn.Linear(2, 2))


def test_files_that_are_missing_damaged_or_of_something_else(tmp_path: Path) -> None:
    path = tk.fit(StandardScaler(), X, on=tk.Inline()).save(tmp_path / "new folder" / "model.talkoot")
    whole = path.read_bytes()
    for name, content, cause in (
        ("cut", whole[:-9], "shorter than its header says"),
        ("longer", whole + b"x", "longer than its header says"),
        ("empty", b"", "not written by Talkoot"),
        ("other", b"PK\x03\x04 something else altogether", "not written by Talkoot"),
        ("kind", to_bytes({"version": 1, "kind": "plan"}), "no fitted model"),
        ("later", to_bytes({"version": 2, "kind": "estimator"}, [b""]), "no fitted model"),
        ("garbage", to_bytes({"version": 1, "kind": "estimator"}, [b"garbage"]), "cannot be read"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(tk.DataError, match=cause) as caught:
            tk.load(tmp_path / name)
        assert name in str(caught.value) or name == "garbage"
    with pytest.raises(tk.DataError, match="No such file"):
        tk.load(tmp_path / "nowhere")


def test_saving_again_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        tk.fit(StandardScaler(), X * value, on=tk.Inline()).save(tmp_path / "model.talkoot")
    assert [path.name for path in tmp_path.iterdir()] == ["model.talkoot"]
    np.testing.assert_allclose(tk.load(tmp_path / "model.talkoot").mean_, (X * 2).mean(axis=0))


def test_a_flipped_byte_is_read_as_an_error_or_as_the_same_kind_of_model(tmp_path: Path) -> None:
    path = tk.fit(TweedieRegressor(), X, X[:, 0], on=tk.Inline()).save(tmp_path / "model.talkoot")
    whole = path.read_bytes()
    for place in RNG.integers(0, len(whole), 150).tolist():
        broken = bytearray(whole)
        broken[place] ^= 1 << int(RNG.integers(0, 8))
        path.write_bytes(broken)
        with contextlib.suppress(tk.DataError):
            assert isinstance(tk.load(path), TweedieRegressor)


def test_no_numbers_but_data_and_buffers_are_in_a_frame() -> None:
    data, buffers = from_bytes(to_bytes({"a": [1, None, "x"]}, [np.arange(3).tobytes(), b""]))
    assert data == {"a": [1, None, "x"]}
    assert [buffer.nbytes for buffer in buffers] == [24, 0]


def test_bins_keep_their_edges(tmp_path: Path) -> None:
    estimator = make_union(KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"), StandardScaler())
    fit = tk.fit(estimator, X, on=tk.Inline())
    model = tk.load(fit.save(tmp_path / "model.talkoot"))
    np.testing.assert_array_equal(model.transform(X).toarray(), fit.model.transform(X).toarray())


@pytest.mark.parametrize(
    ("field", "value"),
    [("left", 0), ("right", 1000), ("feature_idx", 3), ("feature_idx", -1), ("is_categorical", 1)],
)
@pytest.mark.parametrize("inside", [False, True])
def test_trees_that_lead_nowhere_are_not_read(field: str, value: int, inside: bool) -> None:
    """scikit-learn's compiled prediction would read beyond its arrays, or never end."""
    X = np.random.default_rng(0).normal(size=(80, 3))
    model = HistGradientBoostingRegressor(max_iter=2).fit(X, X[:, 0])
    whole = make_pipeline(StandardScaler(), model).fit(X, X[:, 0]) if inside else model
    model = whole[-1] if inside else whole
    found = fitted_from_bytes(fitted_to_bytes(whole))
    np.testing.assert_array_equal(found.predict(X), whole.predict(X))
    model._predictors[1][0].nodes[field][0] = value
    with pytest.raises(DataError, match="trees that lead nowhere"):
        fitted_from_bytes(fitted_to_bytes(whole))


def boosted_categories() -> Any:
    """Trees that divide categories."""
    site = np.random.default_rng(0).choice(list("abcd"), 200)
    frame = pd.DataFrame({"dose": np.arange(200.0), "site": pd.Categorical(site)})
    return HistGradientBoostingRegressor(max_iter=2).fit(frame, (site == "b") + frame["dose"] / 100)


def first_set(model: Any) -> Any:
    """The first node that divides categories."""
    nodes = model._predictors[0][0].nodes
    return nodes[np.flatnonzero(nodes["is_categorical"])[0] :][:1]


def short_sets(model: Any) -> None:
    model._predictors[0][0].raw_left_cat_bitsets = np.zeros((0, 8), np.uint32)


def narrow_sets(model: Any) -> None:
    model._predictors[0][0].raw_left_cat_bitsets = np.zeros((9, 1), np.uint32)


def other_codes(model: Any) -> None:
    model._bin_mapper.bin_thresholds_[0] = np.array([0.0, 1.0, 2.0, 1e6])


def more_codes(model: Any) -> None:
    model._bin_mapper.bin_thresholds_[0] = np.arange(300.0)


def fewer_columns(model: Any) -> None:
    model._bin_mapper.is_categorical_ = np.zeros(1, np.uint8)


UNSOUND: dict[str, Callable[[Any], Any]] = {
    "a set that is not there": lambda model: first_set(model)["bitset_idx"].fill(1000),
    "numbers as categories": lambda model: first_set(model)["feature_idx"].fill(1),
    "no sets": short_sets,
    "narrow sets": narrow_sets,
    "other codes": other_codes,
    "more codes": more_codes,
    "fewer columns": fewer_columns,
}


@pytest.mark.parametrize("change", UNSOUND)
def test_trees_of_categories_that_are_not_there_are_not_read(change: str) -> None:
    model = boosted_categories()
    UNSOUND[change](model)
    with pytest.raises(DataError, match="trees that lead nowhere"):
        fitted_from_bytes(fitted_to_bytes(model))


def test_trees_in_arrays_are_looked_at() -> None:
    model = boosted_categories()
    short_sets(model)
    holder = FunctionTransformer(kw_args={"x": np.array([model], dtype=object)})
    with pytest.raises(DataError, match="trees that lead nowhere"):
        fitted_from_bytes(fitted_to_bytes(holder))


def test_what_codes_categories_is_made_anew() -> None:
    """A stranger's could give the compiled prediction fewer columns than it reads."""
    model = boosted_categories()
    site = np.array(list("abcdx"))
    frame = pd.DataFrame({"dose": np.arange(5.0), "site": pd.Categorical(site)})
    want = model.predict(frame)
    coder = model._preprocessor
    coder.transformers_[1] = ("numerical", "drop", coder.transformers_[1][2])
    np.testing.assert_array_equal(fitted_from_bytes(fitted_to_bytes(model)).predict(frame), want)
    for field, value in (("_preprocessor", None), ("is_categorical_", np.ones(2, bool))):
        changed = boosted_categories()
        setattr(changed, field, value)
        with pytest.raises(DataError, match="cannot be read"):
            fitted_from_bytes(fitted_to_bytes(changed))


def test_saving_imports_no_torch_and_keeps_nobody_else_from_it() -> None:
    script = (
        "import sys; from sklearn.linear_model import Ridge; "
        "from talkoot.formats.estimators import fitted_from_bytes, fitted_to_bytes; "
        "fitted_from_bytes(fitted_to_bytes(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]))); "
        "print('torch' in sys.modules, [name for name, module in sys.modules.items() if module is None])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("False []\n", "", 0)

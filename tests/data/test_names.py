"""Dicts whose names mean something else than nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import Ridge

import talkoot as tk
from talkoot.core.errors import DataError
from talkoot.data.names import refuse_meanings
from talkoot.data.samples.samples import samples

PARTS = [
    ["train", "validation"],
    ["train", "test"],
    ["Train", "TEST"],
    ["training", "holdout"],
    ["train"],
    ["lima", "dev"],
    ["train_set", "val-set"],
    ["df_train", "df_test"],
    ["X_train", "y_train", "X_test", "y_test"],
    ["train_dataset", "eval_dataset"],
]
FIELDS = [
    ["input_ids", "attention_mask"],
    ["input_ids", "token_type_ids", "labels"],
    ["pixel_values", "labels"],
    ["X", "y"],
    ["data", "target", "frame"],
    ["images", "labels"],
    ["inputs", "targets"],
    ["text", "label"],
    ["features", "label"],
]
SITES = [
    ["test_site", "lima"],
    ["trainee clinic", "valencia"],
    ["Val d'Aosta", "develop", "latest"],
    ["data", "lima"],
    ["x", "y", "z"],
    ["y"],
    ["data"],
    ["site train"],
    ["a", "b", "w"],
    ["0", "1"],
]


@pytest.mark.parametrize("names", PARTS, ids=" ".join)
def test_parts_of_a_split_are_no_nodes(names: list[str]) -> None:
    with pytest.raises(
        DataError, match="of one data set, and a dict names nodes.*Give only the rows to train on"
    ):
        refuse_meanings(names)


@pytest.mark.parametrize("names", FIELDS, ids=" ".join)
def test_fields_of_samples_are_no_nodes(names: list[str]) -> None:
    with pytest.raises(DataError, match=r"fields of samples, and a dict names nodes.*Give \(X, y\)"):
        refuse_meanings(names)


@pytest.mark.parametrize("names", SITES, ids=" ".join)
def test_sites_may_be_called_as_they_are(names: list[str]) -> None:
    refuse_meanings(names)
    assert list(tk.shards({name: np.eye(2) for name in names})) == names
    assert list(samples({name: np.eye(2) for name in names})) == names


@pytest.mark.parametrize("names", [PARTS[0], FIELDS[0]], ids=" ".join)
def test_whoever_renames_insists(names: list[str]) -> None:
    for name in names:
        with pytest.raises(DataError) as caught:
            refuse_meanings([name])
        assert caught.value.cure is not None
        refuse_meanings([caught.value.cure.split("'")[-2]])


def test_a_column_that_splits_makes_no_nodes(tmp_path: Path) -> None:
    table = pa.table({"a": [1.0, 2.0, 3.0], "part": ["train", "test", "train"]})
    pq.write_table(table, tmp_path / "a.parquet")
    for data in (table, tmp_path / "a.parquet"):
        with pytest.raises(DataError, match="column 'part': its values .*parts of one data set.*without by="):
            tk.shards(data, by="part")
    sites = table.set_column(1, "part", [["test", "lima", "oslo"]])
    assert list(tk.shards(sites, by="part")) == ["lima", "oslo", "test"], "among other sites it is one"


def test_all_who_read_dicts_refuse_them(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1.0, 2.0], "t": [0, 1]}), tmp_path / "rows.parquet")
    rows: Any = tmp_path / "rows.parquet"
    for data in ({"train": rows, "validation": rows}, {"train": np.eye(2), "test": np.eye(2)}):
        for read in (tk.shards, samples):
            with pytest.raises(DataError, match="parts of one data set"):
                read(data)
    with pytest.raises(DataError, match="'train' and 'validation' name parts"):
        tk.fit(Ridge(), {"train": rows, "validation": rows}, "t")
    with pytest.raises(DataError, match=r"Give \(data.data, data.target\)"):
        tk.fit(Ridge(), load_iris())

"""The rows of four hospitals: as each has recorded them, as they agree to record them, and held out."""

import io
import warnings

import numpy as np
import pyarrow as pa
from pyarrow import csv
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

TARGET = "target"
HEART = ("cleveland", "hungarian", "switzerland", "va")
TUMOURS = {"bergen": 48, "lund": 72, "oslo": 120, "turku": 329}  # rows of each
MILLIMETRES = "turku"


def model():
    """What is learned, at each hospital alone and by all together."""
    return make_pipeline(StandardScaler(), LogisticRegression())


def load(folder):
    """As they were recorded: hospital -> CSV. Without a folder, rows that come with scikit-learn."""
    if folder is None:
        return tumours()
    return {name: (folder / f"processed.{name}.csv").read_bytes() for name in HEART}


def tumours():
    """Measures of 569 tumours, dealt out to four hospitals; one of them records radii in another unit."""
    found = load_breast_cancer()
    order = np.random.default_rng(0).permutation(len(found.target))
    hospitals, begin = {}, 0
    for name, rows in TUMOURS.items():
        mine, begin = order[begin : begin + rows], begin + rows
        table = dict(zip(found.feature_names, found.data[mine].T, strict=True))
        if name == MILLIMETRES:
            table = {column: values * (10 if "radius" in column else 1) for column, values in table.items()}
        hospitals[name] = to_csv({**table, TARGET: found.target[mine]})
    return hospitals


def agreed(name, recorded):
    """The rows of a hospital as all four agree to record them, and what that took, in words."""
    table = from_csv(recorded)
    if name in HEART:
        return heart(table), (
            "'?' is a missing value; slope, ca and thal are left out, then incomplete rows; "
            "a column for each code of cp and restecg; the target is 1 where the disease is there at all"
        )
    if name == MILLIMETRES:
        table = {column: values / (10 if "radius" in column else 1) for column, values in table.items()}
        return table, "radii in centimetres, as elsewhere"
    return table, ""


def heart(table):
    """Columns that all four have; of the codes of two columns a column of 0 and 1 for each but the first."""
    table = {column: values for column, values in table.items() if column not in ("slope", "ca", "thal")}
    whole = ~np.isnan(np.column_stack([*table.values()])).any(axis=1)
    here = {}
    for column, values in ((column, values[whole]) for column, values in table.items()):
        codes = {"cp": (2, 3, 4), "restecg": (1, 2)}.get(column)
        if column == TARGET:
            here[column] = (values > 0).astype(int)
        elif codes is None:
            here[column] = values
        else:
            here |= {f"{column}_{code}": (values == code).astype(float) for code in codes}
    return here


def divided(table):
    """Rows to learn from, two thirds, and those held out; of each class, if each has two rows."""
    y = table[TARGET]
    classes = y if np.unique(y, return_counts=True)[1].min() > 1 else None
    sizes = {"train_size": 0.66, "test_size": 1 - 0.66}
    parts = train_test_split(np.arange(len(y)), **sizes, random_state=43, stratify=classes)
    return [{column: values[part] for column, values in table.items()} for part in parts]


def score(learned, held_out, together):
    """What a hospital counts at home: its rows, and how many held-out ones each model gets right.

    The model that all have learned, and one of its own rows alone, if these have two classes.
    """
    (X, y), (unseen, truth) = (arrays(table, together.feature_names_in_) for table in (learned, held_out))
    alone = model().fit(X, y) if len(np.unique(y)) > 1 else None
    return {
        "learned": len(y),
        "held out": len(truth),
        "alone": None if alone is None else right(alone, unseen, truth),
        "together": right(together, unseen, truth),
    }


def right(fitted, X, y):
    """How many rows a model gets right."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")  # they are in its order
        return int((fitted.predict(X) == y).sum())


def arrays(table, names):
    """These columns as a matrix, and the targets."""
    return np.column_stack([table[name] for name in names]), table[TARGET].astype(int)


def to_csv(table):
    """Columns as CSV."""
    out = io.BytesIO()
    csv.write_csv(pa.table(table), out)
    return out.getvalue()


def from_csv(text):
    """Columns of numbers, NaN where one is missing."""
    options = csv.ConvertOptions(null_values=["", "?"])
    table = csv.read_csv(io.BytesIO(text), convert_options=options)
    return {name: table[name].cast("float64").to_numpy() for name in table.column_names}

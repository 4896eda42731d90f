"""Images at four hospitals: X-rays of lungs where their file is given, else digits from scikit-learn."""

import io

import numpy as np
import pyarrow as pa
from network import right, train
from pyarrow import parquet
from sklearn.datasets import load_digits

TARGET = "finding"
SHARES = (0.06, 0.12, 0.27, 0.55)  # of all images, at each hospital
HELD_OUT = 3  # every so many images are put aside
ROUNDS, PASSES = 12, 2


def load(file):
    """(pixels between 0 and 1, what is on each image, what the images are)."""
    if file is None:
        found = load_digits()
        return found.data / 16, found.target, "digits"
    with np.load(file) as found:
        X = np.concatenate([found[f"{part}_images"] for part in ("train", "val", "test")]) / 255
        y = np.concatenate([found[f"{part}_labels"] for part in ("train", "val", "test")]).ravel()
    smaller = X.reshape(len(X), 14, 2, 14, 2).mean(axis=(2, 4))  # 28 x 28 pixels to 14 x 14
    return smaller.reshape(len(X), -1), y.astype(int), "X-rays of lungs, with pneumonia or without"


def dealt(names, X, y):
    """The images of each hospital, in an order that depends on nothing."""
    order = np.random.default_rng(1).permutation(len(y))
    ends = np.round(np.cumsum(SHARES) * len(order)).astype(int)
    parts = np.split(order, ends[:-1])
    return {name: (X[rows], y[rows]) for name, rows in zip(names, parts, strict=True)}


def divided(X, y):
    """Images to learn from, and those held out."""
    out = np.arange(len(y)) % HELD_OUT == 0
    return (X[~out], y[~out]), (X[out], y[out])


def to_parquet(X, y):
    """Pixels as columns, as a hospital registers them."""
    out = io.BytesIO()
    columns = {f"pixel{index:03}": column for index, column in enumerate(X.T)}
    parquet.write_table(pa.table({**columns, TARGET: y}), out)
    return out.getvalue()


def score(start, learned, held_out, together):
    """What a hospital counts at home; alone it trains as long as all together."""
    alone = train(start, *learned, ROUNDS * PASSES, np.random.default_rng(0))
    return {
        "learned": len(learned[1]),
        "held out": len(held_out[1]),
        "alone": right(alone, *held_out),
        "together": right(together, *held_out),
    }

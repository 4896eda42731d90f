"""The applicants of several banks: columns as numbers that all banks agree on, and who paid back."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from talkoot.demo.data import BY, PATH
from talkoot.demo.data import TARGET as OUTCOME

TARGET = "default"
CODES = {  # the code book that the banks agree on: a text is its place in the list
    "checking": ["none", "below 0", "0 to 200", "200 or more"],
    "history": ["none or all paid", "all here paid", "paid till now", "delays", "credits elsewhere"],
    "savings": ["none or unknown", "below 100", "100 to 500", "500 to 1000", "1000 or more"],
    "employed": ["unemployed", "below 1 year", "1 to 4 years", "4 to 7 years", "7 years or more"],
    "other_debtors": ["none", "co-applicant", "guarantor"],
    "property": ["none or unknown", "car or other", "savings or insurance", "real estate"],
    "other_plans": ["none", "bank", "stores"],
    "housing": ["for free", "rent", "own"],
    "job": ["unemployed or non-resident", "unskilled", "skilled", "management or self-employed"],
    "telephone": ["none", "yes"],
}
EDUCATION = {1: "graduate school", 2: "university", 3: "high school"}  # else "other"
AGES = {26: "up to 25", 60: "26 to 59", np.inf: "60 and over"}  # each below its key
DECADES = {30: "up to 29", 40: "30 to 39", 50: "40 to 49", np.inf: "50 and over"}


@dataclass(frozen=True)
class Applicants:
    """Those of all banks, row by row.

    Args:
        what: they are, in a few words.
        bank: (rows,) the name of the bank of each.
        columns: of the model: name -> (rows,) numbers.
        default: (rows,) 1 for who did not pay back, else 0.
        groups: that are watched for fairness and are no columns of the model, unless they say so:
            name -> (rows,) the group of each.
    """

    what: str
    bank: np.ndarray
    columns: dict[str, np.ndarray]
    default: np.ndarray
    groups: dict[str, np.ndarray]

    @property
    def X(self):
        """(rows, columns) float64."""
        return np.column_stack([*self.columns.values()]).astype(np.float64)

    target, codes = TARGET, CODES

    @property
    def names(self):
        """The banks, the largest first."""
        found, counts = np.unique(self.bank, return_counts=True)
        return [str(name) for name in found[np.argsort(-counts, kind="stable")]]

    def frame(self, rows=slice(None)):
        """Rows as a table of the model's columns."""
        return pa.table(dict(zip(self.columns, self.X[rows].T, strict=True)))

    def tables(self, rows=slice(None)):
        """Bank -> its table, as it would lie at the bank; `rows` are those that are used."""
        X, default, bank = self.X[rows], self.default[rows], self.bank[rows]
        return {
            name: pa.table(
                {**dict(zip(self.columns, X[bank == name].T, strict=True)), TARGET: default[bank == name]}
            )
            for name in self.names
        }


def load(path=None, by="education"):
    """German credit by what the money is for, or with a file the credit cards of Taiwan."""
    return german() if path is None else taiwan(path, by)


def german():
    """1,000 loans of a German bank, 1973 to 1975, as those of six lenders: the rows of Talkoot's demo."""
    table = pq.read_table(PATH)
    values = {name: np.array(table[name].to_pylist()) for name in table.column_names}
    lender, default = values.pop(BY), values.pop(OUTCOME)
    return Applicants(
        what="German credit",
        bank=lender,
        columns={name: coded(name, column) for name, column in values.items()},
        default=default,
        groups={"age": bands(values["age"], AGES)},
    )


def coded(name, values):
    """A column as numbers, by the code book where it holds text."""
    if name not in CODES:
        return values.astype(np.float64)
    places = {text: place for place, text in enumerate(CODES[name])}
    return np.array([places[value] for value in values], dtype=np.float64)


def meaning(name, value):
    """What a number of a column stands for."""
    if name in CODES:
        return CODES[name][int(value)]
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


def bands(years, names):
    """The band of each: the first whose key lies above."""
    return np.array([next(name for below, name in names.items() if year < below) for year in years])


def taiwan(path, by):
    """30,000 holders of a credit card, Taiwan 2005; sex and marriage are no columns of the model."""
    table = csv.read_csv(path)
    table = table.rename_columns([name.lower() for name in table.column_names])
    values = {name: table[name].to_numpy().astype(np.float64) for name in table.column_names if name != "id"}
    *_, target = values
    default, sex = values.pop(target).astype(int), values.pop("gender" if "gender" in values else "sex")
    values.pop("marriage")
    groups = {"sex": np.where(sex == 1, "men", "women"), "age": bands(values["age"], AGES)}
    education = np.array([EDUCATION.get(int(code), "other") for code in values["education"]])
    return Applicants(
        what="Credit cards in Taiwan",
        bank=education if by == "education" else bands(values["age"], DECADES),
        columns=values,
        default=default,
        groups=groups,
    )

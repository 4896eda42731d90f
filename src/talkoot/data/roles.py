"""The roles of the columns of a table or file: target, weights, queries, node, features."""

from __future__ import annotations

import difflib
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError

MAX_NODES = 10_000  # nodes that by= may make; more are taken for a mistake


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Roles:
    """The roles of columns, from the parameters of `shards`."""

    target: Any = None  # name of the target column, or the targets themselves for arrays
    weight: Any = None  # name of the column of sample weights, or the weights themselves
    qid: Any = None  # name of the column of query ids, or the ids themselves
    by: str | None = None  # name of the column with the node of each row
    # the features, by name (by position for arrays); None for all others
    columns: tuple[Any, ...] | None = None
    keys: tuple[str, ...] = ()  # columns to read although they only name the rows

    def name(self, role: str) -> str | None:
        """The name of the column with a role; None where it was not given by name."""
        value = getattr(self, role)
        if isinstance(value, str) or not np.isscalar(value):
            return value if isinstance(value, str) else None
        return str(value)  # pandas numbers columns without names

    def features(
        self, names: Sequence[str], where: str = "", left_out: Container[str] = ()
    ) -> tuple[str, ...]:
        """The feature columns among `names`, in order; `where` is the file, for errors.

        Columns that are `left_out` are features only where `columns` or `keys` name them.

        Raises:
            DataError: a column that a role names is not there.
        """
        taken = {self.name(role): role for role in ("target", "weight", "qid", "by")}
        required = {name: f"{role}=" for name, role in taken.items() if name is not None}
        chosen = tuple(map(str, self.columns)) if self.columns is not None else None
        for name, role in {**dict.fromkeys(chosen or (), "columns="), **required}.items():
            if name not in names:
                raise unknown(name, names, role, where)
        plain = [name for name in names if name not in left_out or name in self.keys]
        return tuple(name for name in (plain if chosen is None else chosen) if name not in taken)


def unknown(name: str, names: Sequence[str], role: str, where: str = "") -> DataError:
    """The error for a column that is not there, with the most similar name."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5) or difflib.get_close_matches(
        name.lower(), names, n=1, cutoff=0.5
    )
    shown = ", ".join(map(repr, names[:12])) + (", ..." if len(names) > 12 else "")
    cure = f"Did you mean {near[0]!r}?" if near else f"The columns are {shown}."
    place = f" in {where}" if where else ""
    return DataError(f"{role} names a column that is not there{place}", column=name, cure=cure)


def node_names(values: list[Any], missing: int, by: str) -> list[str]:
    """The names of nodes for the values of the column `by`.

    Raises:
        DataError: values are missing, there are too many, or two look alike.
    """
    if missing:
        cure = "Fill them in, or leave those rows out."
        raise DataError(f"{missing} rows do not say which node they belong to", column=by, cure=cure)
    if len(values) > MAX_NODES:
        raise DataError(
            f"by= would make {len(values)} nodes", column=by, cure="Take a column with few values."
        )
    names = [str(int(v)) if isinstance(v, float) and v.is_integer() else str(v) for v in values]
    if len(set(names)) < len(names):
        raise DataError("two of its values look alike as names of nodes", column=by, cure="Make it text.")
    return names

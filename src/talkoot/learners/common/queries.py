"""Queries: groups of rows that are ranked among each other, each at one node."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
from sklearn.utils.validation import has_fit_parameter

from talkoot.core.errors import DataError
from talkoot.core.update import Update

QUERIES = "queries:"  # leaves: the ids of the queries of a node, or hashes of those that are text
CURE = "Name the column of query ids with qid=, such as tk.fit(..., qid='query')."


def ranks(estimator: Any) -> bool:
    """Whether an estimator ranks the rows of queries."""
    return bool(has_fit_parameter(estimator, "group"))


def require_ids(qid: np.ndarray | None, estimator: Any) -> None:
    """Refuse rows without the query ids that an estimator needs.

    Raises:
        DataError: there are none.
    """
    if qid is None and ranks(estimator):
        cause = f"{type(estimator).__name__} ranks the rows of queries, and rows have no query ids"
        raise DataError(cause, cure=CURE)


def by_query(qid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order of rows in which queries are side by side, ascending; and how many rows each has.

    >>> order, sizes = by_query(np.array([7, 3, 7]))
    >>> order.tolist(), sizes.tolist()
    ([1, 0, 2], [1, 2])
    """
    _, codes, sizes = np.unique(qid, return_inverse=True, return_counts=True)
    return np.argsort(codes, kind="stable"), sizes


def query_weights(w: np.ndarray, sizes: np.ndarray, estimator: Any) -> np.ndarray:
    """(queries,) the weights of queries whose rows stand side by side.

    Raises:
        DataError: the rows of some query differ in weight.
    """
    found: np.ndarray = w[np.cumsum(sizes) - sizes]
    if (w != np.repeat(found, sizes)).any():
        cause = f"{type(estimator).__name__} weighs queries, and the rows of some query differ in weight"
        raise DataError(cause, cure="Give all rows of a query the same weight.")
    return found


def queries_of(node: str, qid: np.ndarray | None) -> Mapping[str, np.ndarray]:
    """The leaf that tells which queries a node has; nothing where rows have none."""
    if qid is None:
        return {}
    ids, kind = np.unique(qid), "text" if qid.dtype == object else "number"
    if kind == "text":
        hashes = [blake2b(each.encode(), digest_size=8).digest() for each in ids]
        ids = np.frombuffer(b"".join(hashes), "<i8")
    return {f"{QUERIES}{kind}:{node}": ids}


def require_apart(update: Update) -> None:
    """Refuse queries that have rows at two nodes.

    Raises:
        DataError: one has; or its ids are text at one node and numbers at another.
    """
    leaves = {k.removeprefix(QUERIES): v for k, v in update.values.items() if k.startswith(QUERIES)}
    if not leaves:
        return
    names = [name.partition(":") for name in leaves]
    if len({kind for kind, _, _ in names}) > 1:
        raise DataError("query ids are text at some nodes and numbers at others", cure="Make them alike.")
    ids, place = (
        np.concatenate([*leaves.values()]),
        np.repeat(np.arange(len(leaves)), [*map(len, leaves.values())]),
    )
    order = np.argsort(ids, kind="stable")
    twice = np.flatnonzero(ids[order][1:] == ids[order][:-1])
    if len(twice):
        here, there = (names[place[order[twice[0] + i]]][2] for i in (0, 1))
        example = f", such as query {ids[order[twice[0]]]}" if names[0][0] == "number" else ""
        raise DataError(
            f"{len(twice)} queries have rows at two nodes{example} at {here!r} and {there!r}",
            cure="Bring the rows of a query together at one node; or give other queries other ids.",
        )

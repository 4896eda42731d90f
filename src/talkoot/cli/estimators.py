"""Estimators by name, their parameters and the rows, as they are written on a command line."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from talkoot.core.errors import DataError, PlanError
from talkoot.learners import catalogue


def estimator(names: Sequence[str], settings: Sequence[str] = ()) -> Any:
    """An unfitted estimator; several names make a pipeline.

    Args:
        names: scikit-learn class names, such as ``["StandardScaler", "LogisticRegression"]``.
        settings: parameters as ``"C=0.5"``; in a pipeline, those of the one step that has such a parameter,
            or ``"logisticregression__C=0.5"``.

    Raises:
        NotDistributable: scikit-learn has such an estimator, but no learner fits it.
        PlanError: no such estimator or parameter; the message names the nearest.

    >>> estimator(["StandardScaler", "LogisticRegression"], ["C=0.5"])[-1]
    LogisticRegression(C=0.5)
    """
    steps = [_made(name) for name in names]
    if len(steps) == 1:
        made = steps[0]
    else:
        from sklearn.pipeline import make_pipeline

        made = make_pipeline(*steps)
    for text in settings:
        name, value = setting(text)
        made.set_params(**{_full_name(made, name): value})
    return made


def _made(name: str) -> Any:
    known = {fits.__name__: fits for fits in catalogue()}
    found = known.get(name) or _in_sklearn(name)
    if found is None:
        near = _nearest(name, known)
        cure = f"Did you mean {near}?" if near else f"The estimators are {', '.join(sorted(known))}."
        raise PlanError(f"there is no estimator {name!r}", cure=cure)
    try:
        return found()
    except TypeError as error:
        cure = "Name its steps: talkoot fit StandardScaler Ridge ..., or write a line of Python."
        raise PlanError(f"{name} needs parts that a command line cannot give", cure=cure) from error


def _in_sklearn(name: str) -> type | None:
    """An estimator that scikit-learn has and no learner fits; `learner_for` refuses it with the nearest."""
    from sklearn.utils import all_estimators

    return dict(all_estimators()).get(name)


def setting(text: str) -> tuple[str, Any]:
    """A name and its value, of ``--set name=value``."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise PlanError(f"--set {text} has no value", cure="Write --set name=value, such as --set C=0.5.")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value  # a word: --set solver=newton-cholesky


def _full_name(made: Any, name: str) -> str:
    known = made.get_params()
    if name in known:
        return name
    ends: list[str] = [full for full in known if full.endswith(f"__{name}")]
    if len(ends) == 1:
        return ends[0]
    what = type(made).__name__
    if ends:
        raise PlanError(f"several steps have a parameter {name!r}", cure=f"Take one of {', '.join(ends)}.")
    near = _nearest(name, [full.rpartition("__")[2] for full in known])
    cure = f"Did you mean {near}?" if near else f"It has {', '.join(sorted(known))}."
    raise PlanError(f"{what} has no parameter {name!r}", cure=cure)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    lower = {other.lower(): other for other in known}
    near = get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    return lower[near[0]] if near else None


def rows(items: Sequence[str]) -> Any:
    """What ``--data`` names: one source, or named nodes.

    Args:
        items: paths or globs, or all of them as ``name=path``.

    Raises:
        DataError: some have names and some have not, or two have the same.

    >>> rows(["claims/*.parquet"]), rows(["north=a.csv", "south=b.csv"])
    ('claims/*.parquet', {'north': 'a.csv', 'south': 'b.csv'})
    """
    named = [item.partition("=") for item in items if _is_named(item)]
    if named and len(named) < len(items):
        plain = next(item for item in items if not _is_named(item))
        raise DataError(f"--data {plain} has no name, and others have", cure="Write name=path for each node.")
    nodes = {name: path for name, _, path in named}
    if len(nodes) < len(named):
        raise DataError("two nodes of --data have the same name", cure="Give each its own.")
    if nodes:
        return nodes
    return items[0] if len(items) == 1 else list(items)


def _is_named(item: str) -> bool:
    """Whether it is ``name=path``, and not a path such as ``s3://x/year=2024/a.parquet``."""
    name, equals, _ = item.partition("=")
    return bool(equals) and not any(mark in name for mark in "/\\.:*?")

"""Round 0: the nodes agree on a schema."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from talkoot.core.engine import Emit, Engine, ignore
from talkoot.core.errors import DataError, SchemaError
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.shard import Schema
from talkoot.data.inventory import Inventory
from talkoot.data.shards import Shards
from talkoot.data.tables.arrays import ArrayShard
from talkoot.data.tables.columns import FLOAT32, FLOAT64, NUMBER, TEXT, USABLE, WHOLE, distinct
from talkoot.data.tables.dtypes import is_whole, joint_dtype
from talkoot.data.tables.files import FileShard
from talkoot.data.tables.source import STEP, UNKNOWN, Source
from talkoot.data.tables.strays import Stray, cure_of
from talkoot.data.tables.tables import as_table

Said = Mapping[str, np.ndarray]


def agree(
    shards: Shards,
    engine: Engine,
    *,
    labels: bool = False,
    target: bool = True,
    whole: bool = False,
    emit: Emit = ignore,
) -> tuple[Schema, Shards]:
    """Ask every node for its columns; return what they agree on and shards that read accordingly.

    The order of columns is that of the first node that has rows. Nodes without rows agree to anything.

    Args:
        shards: the nodes' rows.
        engine: where the nodes are.
        labels: the target holds classes, so collect them and hand learners their indices.
        target: False for estimators that learn from none: it is neither read nor handed on.
        whole: keep whole numbers beyond 2**53 as they are; else they become floats.
        emit: hears of the round.

    Raises:
        DataError: no rows at all, missing targets, columns that cannot be used, files that cannot be read.
        SchemaError: nodes whose columns or labels do not agree.

    >>> import talkoot as tk
    >>> schema, bound = agree(tk.shards(np.eye(2), np.array(["no", "yes"])), tk.Inline(), labels=True)
    >>> schema.classes.tolist(), next(bound["node0"].blocks()).y.tolist()
    (['no', 'yes'], [0, 1])
    """
    began = time.perf_counter()
    plan = Plan(Inventory(labels=labels, target=shards.target, read=target))
    heard = run(plan, shards, engine, schema=UNKNOWN, emit=_without_rounds(emit))
    said: Mapping[str, Said] = plan.learner.finish(heard.model)
    agreed = _agreed(said, shards.target, labels)
    schema = agreed if whole else agreed.floats()
    rows = {node: int(s["rows"][0]) for node, s in said.items()}
    seconds = time.perf_counter() - began
    emit("schema", {**facts(schema, {node: rows.get(node, 0) for node in shards}), "seconds": seconds})
    bound = {node: bind(source, schema, rows.get(node, 0), target=target) for node, source in shards.items()}
    return schema, Shards(bound, target=shards.target)


def facts(schema: Schema, rows: Mapping[str, int]) -> dict[str, Any]:
    """What the event log says of a schema, and of the rows that each node has."""
    return {
        "rows": schema.rows,
        "nodes": dict(rows),
        "features": schema.features,
        "names": None if schema.names is None else list(schema.names),
        "classes": None if schema.classes is None else schema.classes.tolist(),
    }


def bind(source: Source, schema: Schema, rows: int, *, target: bool = True) -> Source:
    """A source of `rows` rows that reads as the schema says."""
    if isinstance(source, FileShard):
        return replace(source.bind(schema, target=target), count=rows)
    if schema.mixed and isinstance(source, ArrayShard) and source.rows:
        return as_table(source).bind(schema, target=target)
    return source.bind(schema, target=target)


def _without_rounds(emit: Emit) -> Emit:
    def heard(event: str, facts: Mapping[str, Any]) -> None:
        if event != "round":  # round 0 is no round of the user's plan
            emit(event, facts)

    return heard


def _agreed(said: Mapping[str, Said], target: str | None, labels: bool) -> Schema:
    if not said:
        raise DataError("no node has any rows", step=STEP, cure="Look at the paths and filters of the data.")
    first = next(iter(said))
    for node in said:
        _same_columns(said, first, node)
    names = tuple(said[first]["names"].tolist())
    if not names:
        raise DataError("there are no feature columns besides the target and the weights", step=STEP)
    kinds, dtypes = _kinds(said, names), _dtypes(said, names)
    sparse = any(bool(s["sparse"][0]) for s in said.values())
    floats = {str(s["dtype"][0]) for s in said.values()} - {""}
    rows = np.array([int(s["rows"][0]) for s in said.values()])
    return Schema(
        names=names if said[first]["named"][0] else None,
        kinds=tuple(
            NUMBER if k == WHOLE and not is_whole(d) else k for k, d in zip(kinds, dtypes, strict=True)
        ),
        dtype=FLOAT32 if floats == {"float32"} else FLOAT64,
        dtypes=dtypes,
        sparse=sparse,
        rows=int(rows.sum()),
        center=np.zeros(len(names)) if sparse else _center(said, names, kinds, rows),
        target=target,
        strays=_strays(said, names),
        **_target(said, labels, int(rows.sum())),
    )


def _dtypes(said: Mapping[str, Said], names: tuple[str, ...]) -> tuple[str, ...]:
    """The dtype in pandas of each column, were the nodes' rows one below the other."""
    kinds, dtypes = (zip(*_by_name(said, leaf, names), strict=True) for leaf in ("kinds", "dtypes"))
    return tuple(joint_dtype(zip(k, d, strict=True)) for k, d in zip(kinds, dtypes, strict=True))


def _strays(said: Mapping[str, Said], names: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """For columns of numbers that hold some text: the text, and in which row of which node it is."""
    found = dict[str, tuple[str, str]]()
    for node, here in said.items():
        for name, among, text, place in zip(
            *(here[k].tolist() for k in ("names", "among", "examples", "places")), strict=True
        ):
            if among and name in names:
                found.setdefault(name, (text, f"{place}, at node {node!r}" if len(said) > 1 else place))
    return found


def _same_columns(said: Mapping[str, Said], first: str, node: str) -> None:
    """Refuse a node whose columns are not those of the first."""
    ours, theirs = said[first], said[node]
    if ours["named"][0] != theirs["named"][0]:
        bare, other = (first, node) if theirs["named"][0] else (node, first)
        raise SchemaError(
            f"the columns have no names here, but they do at {other!r}",
            node=bare,
            step=STEP,
            cure="Give names at all nodes (a table), or at none (an array).",
        )
    have, want = theirs["names"].tolist(), ours["names"].tolist()
    if not ours["named"][0] and len(have) != len(want):
        raise SchemaError(
            f"{len(have)} columns here, but {len(want)} at {first!r}",
            node=node,
            step=STEP,
            cure="Give the same columns in the same order at all nodes.",
        )
    ours_only, theirs_only = set(want) - set(have), set(have) - set(want)
    lacks, extra = [n for n in want if n in ours_only], [n for n in have if n in theirs_only]
    if lacks or extra:
        what = [f"lacks {_listed(lacks)}"] * bool(lacks) + [f"has {_listed(extra)} besides"] * bool(extra)
        raise SchemaError(
            f"{' and '.join(what)}, compared with {first!r}",
            node=node,
            step=STEP,
            column=(lacks + extra)[0] if len(lacks + extra) == 1 else None,
            cure="Rename the columns, or name those that all nodes have with columns=.",
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more


def _kinds(said: Mapping[str, Said], names: tuple[str, ...]) -> tuple[str, ...]:
    kinds = {
        node: dict(zip(s["names"].tolist(), s["kinds"].tolist(), strict=True)) for node, s in said.items()
    }
    return tuple(_kind(said, name, {node: k[name] for node, k in kinds.items()}) for name in names)


def _kind(said: Mapping[str, Said], name: str, kinds: Mapping[str, str]) -> str:
    """The kind of one column that all nodes can live with."""
    odd = next((node for node, kind in kinds.items() if kind not in USABLE), None)
    if odd is not None:
        raise DataError(
            f"it holds {kinds[odd]}, which learners cannot read",
            node=odd,
            step=STEP,
            column=name,
            cure="Turn it into numbers or text, or leave it out with columns=.",
        )
    text = [node for node, kind in kinds.items() if kind == TEXT]
    number = [node for node, kind in kinds.items() if kind in (NUMBER, WHOLE)]
    if text and number:
        here = said[text[0]]
        at = here["names"].tolist().index(name)
        stray = Stray(str(here["examples"][at]), str(here["places"][at]))
        raise SchemaError(
            f"text here (for example {stray}), but numbers at {_listed(number)}",
            node=text[0],
            step=STEP,
            column=name,
            cure=cure_of(stray.text),
        )
    return TEXT if text else WHOLE if WHOLE in kinds.values() else NUMBER


def _center(
    said: Mapping[str, Said], names: tuple[str, ...], kinds: tuple[str, ...], rows: np.ndarray
) -> np.ndarray:
    """The nodes' centers, each weighted by its rows; zero for text and where nobody knows."""
    centers = np.array(_by_name(said, "center", names))
    known = np.isfinite(centers) & np.array([kind != TEXT for kind in kinds])
    weight = known * rows[:, None]
    total = np.where(known, centers, 0.0) * weight
    return np.asarray(total.sum(axis=0) / np.maximum(weight.sum(axis=0), 1))


def _by_name(said: Mapping[str, Said], leaf: str, names: tuple[str, ...]) -> list[list[Any]]:
    """What each node said of each column, in the order of `names`."""
    known = [dict(zip(s["names"].tolist(), s[leaf].tolist(), strict=True)) for s in said.values()]
    return [[here[name] for name in names] for here in known]


def _target(said: Mapping[str, Said], labels: bool, rows: int) -> dict[str, Any]:
    """The schema's fields about the target."""
    kinds = {node: str(s["target"][0]) for node, s in said.items()}
    without = [node for node, kind in kinds.items() if kind == "none"]
    if without and (labels or len(without) < len(kinds)):
        raise SchemaError(
            "there is no target here" + (", but there is at others" if len(without) < len(kinds) else ""),
            node=without[0],
            step=STEP,
            cure="Name the target column with target=, or give (X, y).",
        )
    if without:
        return {}
    widths = {node: int(s["outputs"][0]) for node, s in said.items()}
    first = next(iter(widths))
    odd = next((node for node in widths if widths[node] != widths[first]), None)
    if odd is not None and not labels:
        raise SchemaError(
            f"the target has {widths[odd]} outputs here and {widths[first]} at {first!r} (0: one column)",
            node=odd,
            step=STEP,
        )
    if labels:
        return {"classes": _classes(said, kinds)}
    center = np.sum([s["target_sum"] for s in said.values()], axis=0) / rows
    return {"target_center": np.atleast_1d(center), "outputs": widths[first]}


def _classes(said: Mapping[str, Said], kinds: Mapping[str, str]) -> np.ndarray:
    text = [node for node, kind in kinds.items() if kind in "OU"]
    if text and len(text) < len(kinds):
        other = next(node for node in kinds if node not in text)
        raise SchemaError(
            f"the labels are text here (for example {str(said[text[0]]['classes'][0])!r}), "
            f"but numbers at {other!r}",
            node=text[0],
            step=STEP,
            cure="Name the classes alike at all nodes.",
        )
    union = distinct(np.concatenate([s["classes"] for s in said.values()]))
    return union.astype(object) if "O" in kinds.values() else union

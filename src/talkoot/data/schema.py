"""Round 0: one schema from the reports of all nodes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import Any, cast, final
from weakref import WeakKeyDictionary

import numpy as np

from talkoot.core.engine import Emit, Engine, Nodes, ignore
from talkoot.core.errors import DataError, SchemaError
from talkoot.core.plan import Plan
from talkoot.core.query import Answer
from talkoot.core.run import run_on
from talkoot.core.shard import UNKNOWN, Schema, Shard
from talkoot.core.transform import Transform
from talkoot.data.inventory import Inventory
from talkoot.data.shards import Shards
from talkoot.data.tables.arrays import ArrayShard
from talkoot.data.tables.columns import FLOAT32, FLOAT64, NUMBER, TEXT, USABLE, WHOLE
from talkoot.data.tables.dtypes import is_whole, joint_dtype
from talkoot.data.tables.files import FileShard
from talkoot.data.tables.source import STEP, Source
from talkoot.data.tables.strays import Stray, cure_of
from talkoot.data.tables.tables import as_table
from talkoot.data.target_fields import target_fields
from talkoot.data.totals import with_totals


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bind:
    """How a node looks at its rows once all nodes agree: by the schema.

    A node that looks several times gets the same shard, and with it the blocks that it has read.
    """

    schema: Schema
    rows: Mapping[str, int] | None  # node -> its rows, if it has some; None where nodes hide it
    target: bool = True  # False to leave the target out
    key: str = field(default_factory=lambda: token_hex(8))  # equal for equal views, also in another process

    def __call__(self, shard: Shard) -> Source:
        """The shard as learners read it."""
        key, bound = _BOUND.get(shard, ("", None))
        if bound is None or key != self.key:
            source = cast(Source, shard)
            rows = None if self.rows is None else self.rows.get(source.name, 0)
            bound = bind(source, self.schema, rows, target=self.target)
            _BOUND[shard] = self.key, bound
        return bound


_BOUND: WeakKeyDictionary[Shard, tuple[str, Source]] = WeakKeyDictionary()


def agree_on(
    nodes: Nodes,
    *,
    labels: bool = False,
    classes: tuple[Any, ...] = (),
    target: str | None = None,
    read_target: bool = True,
    whole: bool = False,
    chain: Sequence[Transform] = (),
    emit: Emit = ignore,
) -> Bind:
    """Compare the columns of all nodes; return how each looks at its rows by their common schema.

    Columns are in the order of the first node that has rows. Nodes without rows fit any schema.

    Args:
        nodes: the nodes with their shards.
        labels: the target holds classes: collect them and give learners their indices.
        classes: those that were declared: nodes report none, and are refused if they have others.
        target: the name of the target column, if it has one.
        read_target: False for estimators without a target: it is not read.
        whole: whether whole numbers beyond 2**53 stay integers; else they become floats.
        chain: transforms of exact sums, where the plan has some: centers, rows and targets are then added
            up through it. If it lets nobody read the sums of one node, nodes report nothing else but their
            columns, and the labels that at least `inventory.LABELS` rows have.
        emit: receives the event "schema".

    Raises:
        DataError: no rows at all, missing targets, columns that cannot be used, files that cannot be read.
        SchemaError: nodes whose columns or labels do not agree.
    """
    began = time.perf_counter()
    hidden = any(link.sum_only for link in chain)
    declared = classes if labels else ()
    plan = Plan(Inventory(labels=labels, target=target, read=read_target, hidden=hidden, classes=declared))
    reports: Mapping[str, Answer] = plan.learner.finish(run_on(nodes, plan, schema=UNKNOWN).model)
    try:
        common = _common(reports, target, labels)
    except DataError as error:
        raise error.at(step=STEP) from None
    if chain or declared:
        common = with_totals(common, nodes, chain, read_target and common.classes is None, declared)
    schema = common if whole else common.floats()
    rows = None if hidden else {node: int(s["rows"][0]) for node, s in reports.items()}
    known = {} if rows is None else {node: rows.get(node, 0) for node in nodes.names}
    emit("schema", {**facts(schema, known), "seconds": time.perf_counter() - began})
    return Bind(schema=schema, rows=rows, target=read_target)


def agree(
    shards: Shards, engine: Engine, *, labels: bool = False, target: bool = True, whole: bool = False
) -> tuple[Schema, Shards]:
    """As `agree_on`, on an engine that is opened for it alone; the shards are bound in this process.

    >>> import talkoot as tk
    >>> schema, bound = agree(tk.shards(np.eye(2), np.array(["no", "yes"])), tk.Inline(), labels=True)
    >>> schema.classes.tolist(), next(bound["node0"].blocks()).y.tolist()
    (['no', 'yes'], [0, 1])
    """
    with engine.open(shards) as nodes:
        view = agree_on(nodes, labels=labels, target=shards.target, read_target=target, whole=whole)
    bound = {node: view(source) for node, source in shards.items()}
    return view.schema, Shards(bound, target=shards.target)


def facts(schema: Schema, rows: Mapping[str, int]) -> dict[str, Any]:
    """A schema and the rows of each node, for the event log."""
    return {
        "rows": schema.rows,
        "nodes": dict(rows),
        "features": schema.features,
        "names": None if schema.names is None else list(schema.names),
        "classes": None if schema.classes is None else schema.classes.tolist(),
    }


def bind(source: Source, schema: Schema, rows: int | None, *, target: bool = True) -> Source:
    """A source of `rows` rows, counted here if that is None, that is read by the schema."""
    if isinstance(source, FileShard):
        count = sum(each for _, _, each in source.targets()) if rows is None else rows
        return replace(source.bind(schema, target=target), count=count)
    if schema.mixed and isinstance(source, ArrayShard) and source.rows:
        return as_table(source).bind(schema, target=target)
    return source.bind(schema, target=target)


def _common(reports: Mapping[str, Answer], target: str | None, labels: bool) -> Schema:
    if not reports:
        raise DataError("no node has any rows", cure="Look at the paths and filters of the data.")
    first = next(iter(reports))
    for node in reports:
        _same_columns(reports, first, node)
    names = tuple(reports[first]["names"].tolist())
    if not names:
        raise DataError("there are no feature columns besides the target and the weights")
    kinds, dtypes = _kinds(reports, names), _dtypes(reports, names)
    sparse = any(bool(s["sparse"][0]) for s in reports.values())
    floats = {str(s["dtype"][0]) for s in reports.values()} - {""}
    rows = np.array([int(s["rows"][0]) for s in reports.values()])
    return Schema(
        names=names if reports[first]["named"][0] else None,
        kinds=tuple(
            NUMBER if k == WHOLE and not is_whole(d) else k for k, d in zip(kinds, dtypes, strict=True)
        ),
        dtype=FLOAT32 if floats == {"float32"} else FLOAT64,
        dtypes=dtypes,
        sparse=sparse,
        rows=int(rows.sum()),
        center=np.zeros(len(names)) if sparse else _center(reports, names, kinds, rows),
        target=target,
        strays=_strays(reports, names),
        **target_fields(reports, labels, int(rows.sum()), target),
    )


def _dtypes(reports: Mapping[str, Answer], names: tuple[str, ...]) -> tuple[str, ...]:
    """The dtype that pandas would give each column of the concatenated rows."""
    kinds, dtypes = (zip(*_by_name(reports, leaf, names), strict=True) for leaf in ("kinds", "dtypes"))
    return tuple(joint_dtype(zip(k, d, strict=True)) for k, d in zip(kinds, dtypes, strict=True))


def _strays(reports: Mapping[str, Answer], names: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """For columns of numbers that hold some text: the text, and its row and node."""
    found = dict[str, tuple[str, str]]()
    for node, here in reports.items():
        for name, among, text, place in zip(
            *(here[k].tolist() for k in ("names", "among", "examples", "places")), strict=True
        ):
            if among and text and name in names:
                found.setdefault(name, (text, f"{place}, at node {node!r}" if len(reports) > 1 else place))
    return found


def _same_columns(reports: Mapping[str, Answer], first: str, node: str) -> None:
    """Refuse a node whose columns are not those of the first."""
    ours, theirs = reports[first], reports[node]
    if ours["named"][0] != theirs["named"][0]:
        bare, other = (first, node) if theirs["named"][0] else (node, first)
        raise SchemaError(
            f"the columns have no names here, but they do at {other!r}",
            node=bare,
            cure="Give names at all nodes (a table), or at none (an array).",
        )
    have, want = theirs["names"].tolist(), ours["names"].tolist()
    if not ours["named"][0] and len(have) != len(want):
        raise SchemaError(
            f"{len(have)} columns here, but {len(want)} at {first!r}",
            node=node,
            cure="Give the same columns in the same order at all nodes.",
        )
    ours_only, theirs_only = set(want) - set(have), set(have) - set(want)
    lacks, extra = [n for n in want if n in ours_only], [n for n in have if n in theirs_only]
    if lacks or extra:
        what = [f"lacks {_listed(lacks)}"] * bool(lacks) + [f"has {_listed(extra)} besides"] * bool(extra)
        raise SchemaError(
            f"{' and '.join(what)}, compared with {first!r}",
            node=node,
            column=(lacks + extra)[0] if len(lacks + extra) == 1 else None,
            cure="Rename the columns, or name those that all nodes have with columns=.",
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more


def _kinds(reports: Mapping[str, Answer], names: tuple[str, ...]) -> tuple[str, ...]:
    columns = zip(names, zip(*_by_name(reports, "kinds", names), strict=True), strict=True)
    return tuple(_kind(reports, name, dict(zip(reports, kinds, strict=True))) for name, kinds in columns)


def _kind(reports: Mapping[str, Answer], name: str, kinds: Mapping[str, str]) -> str:
    """The common kind of one column."""
    odd = next((node for node, kind in kinds.items() if kind not in USABLE), None)
    if odd is not None:
        raise DataError(
            f"it holds {kinds[odd]}, which learners cannot read",
            node=odd,
            column=name,
            cure="Turn it into numbers or text, or leave it out with columns=.",
        )
    text = [node for node, kind in kinds.items() if kind == TEXT]
    number = [node for node, kind in kinds.items() if kind in (NUMBER, WHOLE)]
    if text and number:
        here = reports[text[0]]
        at = here["names"].tolist().index(name)
        stray = Stray(str(here["examples"][at]), str(here["places"][at]))
        example = f" (for example {stray})" if stray.text else ""  # none where nodes hide their rows
        raise SchemaError(
            f"text here{example}, but numbers at {_listed(number)}",
            node=text[0],
            column=name,
            cure=cure_of(stray.text) if stray.text else "Look for text in it at this node.",
        )
    return TEXT if text else WHOLE if WHOLE in kinds.values() else NUMBER


def _center(
    reports: Mapping[str, Answer], names: tuple[str, ...], kinds: tuple[str, ...], rows: np.ndarray
) -> np.ndarray:
    """The nodes' centers weighted by rows; zero for text and where no node has one."""
    centers = np.array(_by_name(reports, "center", names))
    known = np.isfinite(centers) & np.array([kind != TEXT for kind in kinds])
    weight = known * rows[:, None]
    total = np.where(known, centers, 0.0) * weight
    return np.asarray(total.sum(axis=0) / np.maximum(weight.sum(axis=0), 1))


def _by_name(reports: Mapping[str, Answer], leaf: str, names: tuple[str, ...]) -> list[list[Any]]:
    """One leaf of each node's report, in the order of `names`."""
    known = [dict(zip(s["names"].tolist(), s[leaf].tolist(), strict=True)) for s in reports.values()]
    return [[here[name] for name in names] for here in known]

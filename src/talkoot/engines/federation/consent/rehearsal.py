"""What a plan makes a site send, found by running it on invented rows: nothing is declared that is not so."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np
import pyarrow as pa

from talkoot.core.engine import Nodes, View
from talkoot.core.learner import Learner
from talkoot.core.plan import Plan
from talkoot.core.round import UPDATE, Merged, Round
from talkoot.core.run import NodeState, run_on, work
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update, total
from talkoot.data.schema import agree_on
from talkoot.data.shards import shards
from talkoot.formats.answers import answer_to_bytes
from talkoot.formats.questions import question_to_bytes
from talkoot.guards.fixed import chain_of_sums
from talkoot.guards.mask.leaf import Masked

ROWS, EACH, MOST = 40, 6, 10_000  # invented rows a site, of each class at least, and at most
TEXTS = ("a", "b", "c")
TARGET = "target"


@final
@dataclass(frozen=True, slots=True)
class Leaf:
    """A named array of an answer."""

    name: str
    shape: tuple[int, ...]
    kind: str  # how it merges
    text: bool

    @property
    def numbers(self) -> int:
        """How many numbers or texts it holds."""
        return int(np.prod(self.shape, dtype=np.int64))


@final
@dataclass(frozen=True, slots=True)
class Sent:
    """What one site sends in a round.

    Args:
        query: what is asked before the rounds of the plan itself; empty in these.
        index: of the round.
        phase: of the round.
        leaves: the arrays.
        bytes: of the answer on the wire.
        question: bytes of what the site is sent.
        apart: whether the answers of sites stay apart.
    """

    query: str
    index: int
    phase: str
    leaves: tuple[Leaf, ...]
    bytes: int
    question: int
    apart: bool

    @property
    def numbers(self) -> int:
        """How many numbers and texts leave."""
        return sum(leaf.numbers for leaf in self.leaves)

    def alike(self, other: Sent) -> bool:
        """Whether the same arrays leave in another round."""
        mine, theirs = ((s.query, s.phase, s.leaves, s.apart) for s in (self, other))
        return mine == theirs


@final
@dataclass(slots=True, eq=False)
class _Recorded(Nodes):
    """Nodes of this process that take down what the first of them sends."""

    shards: Mapping[str, Shard]
    proposed: Learner
    sent: list[Sent] = field(default_factory=list)
    plan: Plan | None = None
    view: View | None = None
    states: dict[str, NodeState] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.shards)

    def place(self, plan: Plan, view: View | None = None) -> None:
        self.plan, self.view, self.states = plan, view, {}

    def round(self, rnd: Round, question: Any) -> Merged:
        assert self.plan is not None
        each = {}
        for name in rnd.cohort:
            shard = self.shards[name] if self.view is None else self.view(self.shards[name])
            state = self.states.get(name, NodeState())
            each[name], self.states[name] = work(self.plan, question, shard, state, rnd)
        apart = rnd.phase != UPDATE or self.plan.merge.needs == "each"
        self._record(each[rnd.cohort[0]], rnd, question, apart=apart)
        update = Update() if apart else total(each.values())
        return Merged(update=update, each=each if apart else None, arrived=rnd.cohort)

    def _record(self, update: Update, rnd: Round, question: Any, *, apart: bool) -> None:
        assert self.plan is not None
        learner = self.plan.learner
        hidden = " hidden" if getattr(learner, "hidden", False) else ""
        self.sent.append(
            Sent(
                query="" if learner is self.proposed else f"{type(learner).__name__}{hidden}",
                index=rnd.index,
                phase=rnd.phase,
                leaves=tuple(leaf for name in update.values for leaf in _leaves(name, update)),
                bytes=len(answer_to_bytes(update)),
                question=len(question_to_bytes(rnd, question, self.plan)),
                apart=apart,
            )
        )


def rehearse(plan: Plan, schema: Schema, sites: int, *, declared: bool = False) -> list[Sent]:
    """What one of several sites would send, round by round, if it had columns such as these.

    Args:
        plan: what is proposed.
        schema: the columns and classes.
        sites: how many take part.
        declared: whether the researcher has declared the classes.

    Raises:
        TalkootError: the plan cannot be run on such columns.

    >>> import talkoot as tk
    >>> from sklearn.preprocessing import StandardScaler
    >>> sent = rehearse(tk.Plan(tk.learner_for(StandardScaler())), numbers_only(13), sites=3)
    >>> [(s.query, s.numbers) for s in sent if not s.query]
    [('', 39)]
    """
    if schema.classes is not None:
        schema = replace(schema, classes=_at_least_two(schema.classes))
    names = [f"site{number}" for number in range(sites)]
    rng = np.random.default_rng(0)
    target = schema.target
    rows = shards({name: _invented(schema, rng) for name in names}, target)
    nodes = _Recorded(rows, plan.learner)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invented rows need not converge
        labels = schema.classes is not None
        view = agree_on(
            nodes,
            labels=labels,
            classes=tuple(schema.classes.tolist()) if declared and schema.classes is not None else (),
            target=target,
            read_target=target is not None,
            whole=plan.learner.large_integers,
            chain=chain_of_sums(plan.chain),
        )
        run_on(nodes, plan, schema=view.schema, view=view)
    return nodes.sent


def numbers_only(columns: int, classes: int = 0, target: str | None = None) -> Schema:
    """A schema of so many columns of numbers, and of so many classes, for rows that are not at hand."""
    return Schema(
        names=tuple(f"column{number}" for number in range(1, columns + 1)),
        kinds=("number",) * columns,
        dtype=np.dtype(np.float64),
        rows=0,
        center=np.zeros(columns),
        classes=np.arange(classes) if classes else None,
        target=target or (TARGET if classes else None),
    )


def _leaves(name: str, update: Update) -> list[Leaf]:
    """The arrays that a leaf stands for: itself, or those under a mask."""
    value, kind = update.values[name], update.kind(name).value
    if isinstance(value, Masked):
        return [Leaf(each, tuple(ring.shape), kind, False) for each, ring in value.leaves.items()]
    text = isinstance(value, np.ndarray) and value.dtype.kind in "OU"
    return [Leaf(name, tuple(value.shape), kind, text)]


def _invented(schema: Schema, rng: np.random.Generator) -> pa.Table:
    """Rows such as the schema describes."""
    columns: dict[str, Any] = {}
    known = schema.classes
    rows = ROWS if known is None else min(MOST, max(ROWS, EACH * len(known)))
    for index, kind in enumerate(schema.kinds):
        name = schema.column(index)
        match kind:
            case "text":
                columns[name] = rng.choice(TEXTS, rows)
            case "whole":
                columns[name] = rng.integers(0, 1 << 60, rows)
            case _:
                columns[name] = rng.normal(size=rows).astype(schema.dtype)
    if schema.target is not None:
        columns[schema.target] = rng.uniform(0.1, 0.9, rows) if known is None else np.resize(known, rows)
    return pa.table(columns)


def _at_least_two(classes: np.ndarray) -> np.ndarray:
    """The classes, and another one where there is only one.

    >>> _at_least_two(np.array(["ill"])).tolist(), _at_least_two(np.array([1])).tolist()
    (['ill', 'not ill'], [1, 2])
    """
    if len(classes) != 1:
        return classes
    (one,) = classes.tolist()
    other = not one if isinstance(one, bool) else f"not {one}" if isinstance(one, str) else one + 1
    return np.array([one, other])

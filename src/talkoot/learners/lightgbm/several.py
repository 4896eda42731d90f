"""Training in several processes: what they do in turn, and where it stands between two rounds.

Nodes count rows, and say in which process they are. Processes send the rows of which LightGBM would make
bins, and sums of the target; they get bins and start, and put their rows into these; then they grow trees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.shard import Schema
from talkoot.core.update import Update
from talkoot.learners.common.group import counts, octets
from talkoot.learners.lightgbm.reference import serialized
from talkoot.learners.lightgbm.rules import Settings
from talkoot.learners.lightgbm.start import of_one_process, start_of
from talkoot.learners.trees.weights import agreed_weights

TREES = 10  # iterations of a round at least; later ones do a quarter of what there is
MOST = 2**31 - 1  # rows that LightGBM can count
# leaves of updates
ROWS = "rows:"  # of a node, in which process: how many rows, and the node's place among all
CLASSES = "classes"  # how many rows of each class
WEIGHTED = "weighted"  # nodes that have sample weights
DTYPE = "dtype:"  # nodes whose values have this type
DONE = "done"  # processes that did their part
FAILED = "failed:"  # processes that failed, by the reason
SAMPLE = "sample:"  # of a node: the rows for bins, as bytes
SUMS = "sums:"  # of a process: those of the target, as bytes
ADDRESS = "address:"  # of a process: where others reach it
BOOSTER = "booster"  # the trees, as LightGBM's text


@final
@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Processes send the rows for bins, and sums of the target.

    Args:
        key: names the run.
        step: rises with each round.
        processes: nodes of each process, by its name.
        firsts: for each node how many rows nodes before it have.
        rows: how many there are in all.
        dtype: of the values of all rows together.
        weighted: whether rows have weights.
        classes: (classes,) what rows of a class weigh; None for 1.
    """

    key: str
    step: int
    processes: Mapping[str, int]
    firsts: Mapping[str, int]
    rows: int
    dtype: str
    weighted: bool
    classes: np.ndarray | None


@final
@dataclass(frozen=True, slots=True, eq=False)
class Bin:
    """Each process puts its rows into bins, and listens for the others.

    Args:
        key: names the run.
        step: rises with each round.
        processes: their names, in the order of their ranks.
        reference: the bins, as LightGBM saves them.
        start: (outputs,) the scores before the first tree.
    """

    key: str
    step: int
    processes: tuple[str, ...]
    reference: bytes
    start: np.ndarray


@final
@dataclass(frozen=True, slots=True, eq=False)
class Grow:
    """Processes grow trees together.

    Args:
        key: names the run.
        step: rises with each round.
        processes: their names, in the order of their ranks.
        nodes: the nodes of each, as errors name them.
        addresses: where they are reached.
        trees: how many iterations there are, and how many there are to be.
        last: whether these are all.
    """

    key: str
    step: int
    processes: tuple[str, ...]
    nodes: tuple[str, ...]
    addresses: tuple[str, ...]
    trees: tuple[int, int]
    last: bool


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Several:
    """Training in several processes, between two rounds.

    Args:
        total: how many iterations there are to be, at most.
        settings: of LightGBM.
        nodes: those of each process, by its name, in the order of ranks.
        rows: how many each node has, in the order of nodes.
        dtype: of the values of all rows together.
        weighted: whether rows have weights.
        classes: (classes,) what rows of a class weigh; None for 1.
        reference: the bins; empty before they are there.
        start: (outputs,) the scores before the first tree.
        addresses: where processes are reached; empty before their rows are in bins.
        trees: how many iterations there are.
        booster: all of them, as text; empty before they are there.
    """

    total: int
    settings: Settings
    nodes: Mapping[str, tuple[str, ...]]
    rows: Mapping[str, int]
    dtype: str
    weighted: bool
    classes: np.ndarray | None
    reference: bytes = b""
    start: np.ndarray = field(default_factory=lambda: np.zeros(0))
    addresses: tuple[str, ...] = ()
    trees: int = 0
    booster: bytes = b""

    @property
    def next(self) -> int:
        """How many iterations there are to be after the next round."""
        return min(self.total, self.trees + max(TREES, self.trees // 4))

    def question(self, key: str, step: int) -> Sample | Bin | Grow:
        """What processes do next."""
        order = tuple(self.nodes)
        if not self.reference:
            counts = {process: len(nodes) for process, nodes in self.nodes.items()}
            sizes = np.cumsum([0, *self.rows.values()]).tolist()
            firsts = dict(zip(self.rows, sizes, strict=False))
            rest = (firsts, sizes[-1], self.dtype, self.weighted, self.classes)
            return Sample(key, step, counts, *rest)
        if not self.addresses:
            return Bin(key, step, order, self.reference, self.start)
        names = tuple(_listed(nodes) for nodes in self.nodes.values())
        trees = (self.trees, self.next)
        return Grow(key, step, order, names, self.addresses, trees, self.next == self.total)

    def step(self, update: Update) -> Several | None:
        """Where it stands after a round; None where some process did not do its part."""
        values = update.values
        if DONE not in values or values[DONE][0] != len(self.nodes):
            return None
        if not self.reference:
            return self._binned(values)
        if not self.addresses:
            found = (octets(values[f"{ADDRESS}{process}"]).decode() for process in self.nodes)
            return replace(self, addresses=tuple(found))
        if BOOSTER not in values:
            return replace(self, trees=self.next)
        text = octets(values[BOOSTER]).decode()
        text = of_one_process(text, self.start, sum(self.rows.values()), self.settings.pool)
        return replace(self, trees=self.next, booster=text.encode())

    def _binned(self, values: Mapping[str, np.ndarray]) -> Several:
        parts = [octets(values[f"{SAMPLE}{node}"]) for node in self.rows]
        sample = np.frombuffer(b"".join(parts)).reshape(-1, self.settings.features)
        reference = serialized(sample, sum(self.rows.values()), self.settings.params)
        sums = sum(np.frombuffer(octets(values[f"{SUMS}{process}"])) for process in self.nodes)
        start = start_of(self.settings.objective, np.asarray(sums), self.settings.sigmoid)
        return replace(self, reference=reference, start=start)


def several_of(update: Update, estimator: Any, schema: Schema, settings: Settings) -> Several:
    """Training in the processes that nodes are in.

    Raises:
        DataError: there are more rows than LightGBM can count.
    """
    found = list[tuple[int, str, str, int]]()
    processes = counts(update, "process:")
    for name, value in update.values.items():
        if name.startswith(ROWS):
            process = next(p for p in processes if name.startswith(f"{ROWS}{p}:"))
            found.append((int(value[1]), name.removeprefix(f"{ROWS}{process}:"), process, int(value[0])))
    nodes = dict[str, tuple[str, ...]]()
    for _, node, process, _ in sorted(found):
        nodes[process] = (*nodes.get(process, ()), node)
    rows = {node: count for _, node, _, count in sorted(found)}
    if sum(rows.values()) > MOST:
        raise DataError(f"LightGBM counts {MOST} rows at most, and there are {sum(rows.values())}")
    classes = update.values.get(CLASSES)
    weights = agreed_weights(estimator, schema, bool(update.values[WEIGHTED][0]), classes)
    return Several(
        total=estimator.n_estimators,
        settings=settings,
        nodes=nodes,
        rows=rows,
        dtype=np.result_type(*counts(update, DTYPE)).str,
        weighted=weights.some,
        classes=weights.classes,
    )


def _listed(nodes: tuple[str, ...]) -> str:
    few = ", ".join(map(repr, nodes[:3]))
    return few if len(nodes) <= 3 else f"{few} and {len(nodes) - 3} others"

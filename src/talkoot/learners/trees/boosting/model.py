"""The state of boosting between two rounds, the questions that come of it, and what is left of it on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.shard import Schema
from talkoot.core.update import Update
from talkoot.learners.sums.coarse_selection import CoarseSelection
from talkoot.learners.sums.selection import Selection
from talkoot.learners.trees.boosting import rows as node
from talkoot.learners.trees.boosting.bins import Bins
from talkoot.learners.trees.boosting.categories import Coding
from talkoot.learners.trees.boosting.growing import Grower, Tree, leaf_values, sought
from talkoot.learners.trees.boosting.quantiles.leaves import LeafCount, leaves_of, with_values
from talkoot.learners.trees.boosting.quantiles.search import QuantileSearch
from talkoot.learners.trees.boosting.record import Record, record
from talkoot.learners.trees.boosting.stopping import Stopping
from talkoot.learners.trees.boosting.validation import Validation
from talkoot.learners.trees.boosting.warm_start.earlier_fit import EarlierFit
from talkoot.learners.trees.boosting.warm_start.trees import Trees
from talkoot.learners.trees.weights import Weights

RECORD = ("nodes", "binned", "raw", "hessians")  # the arrays of a `Record`


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Boosted:
    """A fit between two rounds.

    Args:
        schema: what the nodes agreed on.
        columns: those of categories.
        coding: how nodes read their rows; None before categories are agreed on, or where there is no need.
        seed: of the draw of validation rows.
        stopping: the scores so far; None where the fit does not stop early.
        validation: the rows that are held out; None where none are, and before they are counted.
        search: of thresholds; None before, and once the bins are there.
        few: for each column its distinct values, None where there are many; empty before the first round.
        missing: (features,) whether some value is missing.
        weights: of the rows.
        sampled: whether some node has sample weights.
        bins: of the columns.
        grower: the rules that trees grow by, once the bins are there.
        baseline: (outputs,) the prediction before the first tree.
        quantiles: the search for the baseline, then for the values of each tree's leaves, where these are
            quantiles; it is done while a tree grows.
        bits: of whole gradients, once it is known how large they are.
        past: the iterations that ended.
        records: their trees.
        trees: that grow now.
        known: for each of them, how many splits the nodes know.
        step: number of the step that comes next.
        ended: the iteration that ended with the step before, without the splits that nodes know.
        root: a digest of the sums that the last trees began with, which tell these rows from others.
        earlier: what an interrupted fit left, until it is known that its rows are the same.
        warm_start: the earlier fit whose trees these are added to; None where there is none.
        first: its trees as nodes read them, once the bins are there.
        behind: whether some node needs all that is past.
    """

    schema: Schema
    columns: tuple[int, ...] = ()
    coding: Coding | None = None
    seed: int = 0
    stopping: Stopping | None = None
    validation: Validation | None = None
    search: Selection | CoarseSelection | None = None
    few: tuple[np.ndarray | None, ...] = ()
    missing: np.ndarray | None = None
    weights: Weights = field(default_factory=Weights)
    sampled: bool = False
    bins: Bins | None = None
    grower: Grower | None = None
    baseline: np.ndarray | None = None
    quantiles: QuantileSearch | None = None
    bits: node.Bits | None = None
    past: tuple[node.Iteration, ...] = ()
    records: tuple[tuple[Record, ...], ...] = ()
    trees: tuple[Tree, ...] = ()
    known: tuple[int, ...] = ()
    step: int = 0
    ended: node.Iteration | None = None
    root: np.ndarray | None = None
    earlier: Mapping[str, np.ndarray] | None = None
    warm_start: EarlierFit | None = None
    first: Trees | None = None
    behind: bool = False
    done: bool = False

    @property
    def scored(self) -> bool:
        """Whether the step that comes next brings scores: those before the trees that grow."""
        return self.stopping is not None and self.bits is not None and not self.trees[0].parts

    @property
    def iterations(self) -> int:
        """How many are whole, with those of an earlier fit."""
        return len(self.records) + (self.warm_start.iterations if self.warm_start is not None else 0)

    @property
    def counted(self) -> LeafCount | None:
        """What nodes count of the tree that has grown."""
        if self.quantiles is None or self.quantiles.done or self.trees[0].chosen is None:
            return None
        return LeafCount(leaves_of(self.trees[0]), self.quantiles.search)

    def stepped(self) -> Boosted:
        """The model after a step, in which nodes learned of all splits."""
        known = tuple(len(tree.splits) for tree in self.trees)
        return replace(self, known=known, step=self.step + 1, behind=False, ended=None)

    def start(self) -> node.Start | None:
        """What nodes need to begin, where they do."""
        if self.step and not self.behind:
            return None
        assert self.bins is not None
        assert self.baseline is not None
        past = self.past if self.behind else ()
        return node.Start(self.bins, self.weights, self.baseline, past, self.validation, self.first)

    def growth(self, *, whole: bool) -> node.Grow:
        """How the trees grow; no histograms are wanted where all trees of the fit are `whole`."""
        start = self.start()
        pairs = zip(self.trees, self.known, strict=True)
        splits = tuple(splits_of(tree, 0 if start else known) for tree, known in pairs)
        wanted = tuple(
            np.array([] if whole or tree.chosen is not None else sought(tree), dtype=np.int64)
            for tree in self.trees
        )
        ended = None if start else self.ended
        return node.Grow(self.step, self.bits, ended, splits, wanted, start, self.scored, self.counted)


def outputs_of(schema: Schema) -> int:
    """Trees of an iteration."""
    return 1 if schema.classes is None or len(schema.classes) == 2 else len(schema.classes)


def splits_of(tree: Tree, known: int) -> np.ndarray:
    """The splits behind the first `known`, as nodes read them."""
    rows = [
        [split.left, at, split.feature, split.bin, int(split.missing_left), *node.words_of(split.bins)]
        for at, split in islice(tree.splits.items(), known, None)
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, node.SPLIT)


def valued(model: Boosted, update: Update) -> Boosted:
    """The model after residuals were counted: narrower ranges, or leaves with their values."""
    assert model.quantiles is not None
    found = model.quantiles.narrow(update.values)
    (tree,) = model.trees
    trees = (with_values(tree, leaves_of(tree), found.values),) if found.done else model.trees
    return replace(model.stepped(), quantiles=found, trees=trees)


def ended(model: Boosted, rate: float) -> Boosted:
    """The model whose trees are whole, and added with this learning rate."""
    assert model.bins is not None
    values = tuple(leaf_values(tree, rate) for tree in model.trees)
    past = node.Iteration(tuple(splits_of(tree, 0) for tree in model.trees), values)
    pairs = zip(model.trees, model.known, strict=True)
    late = node.Iteration(tuple(splits_of(tree, known) for tree, known in pairs), values)
    records = tuple(record(tree, model.bins, rate) for tree in model.trees)
    return replace(model, past=(*model.past, past), ended=late, records=(*model.records, records))


def interim(model: Boosted) -> dict[str, np.ndarray] | None:
    """The trees whose next ones have begun, and what they rest on; None before those."""
    count = len(model.records) - (not model.trees or not model.trees[0].parts)
    if count < 1 or model.earlier is not None:
        return None
    every = [each for trees in model.records[:count] for each in trees]
    found = {name: [getattr(each, name) for each in every] for name in RECORD}
    for name in ("splits", "values"):
        found[name] = [part for iteration in model.past[:count] for part in getattr(iteration, name)]
    arrays = {key: value for name, each in found.items() for key, value in _joined(name, each)}
    assert model.root is not None
    return {**arrays, **_basis(model), **_scores(model, count), "root": model.root}


def _basis(model: Boosted) -> dict[str, np.ndarray]:
    """What differs where rows do: bins, the prediction without a tree, the size of gradients."""
    assert model.bins is not None
    assert model.baseline is not None
    thresholds = dict(_joined("thresholds", model.bins.thresholds))
    return thresholds | {
        "baseline": model.baseline,
        "bits": np.array(model.bits),
        "missing": model.bins.missing,
        "warm start": np.zeros(0) if model.warm_start is None else model.warm_start.digest(),
    }


def _scores(model: Boosted, count: int) -> dict[str, np.ndarray]:
    stopping = model.stopping or Stopping()
    first = 1 if model.warm_start is None else len(model.warm_start.scores.training)
    count += first - 1  # those of trees whose next ones have begun, which are scored again
    scores = {"training": stopping.training, "validation": stopping.validation}
    return {name: np.array(found[:count], dtype=np.float64) for name, found in scores.items()}


def resumed(model: Boosted, found: Mapping[str, np.ndarray]) -> Boosted:
    """A fit before its first round, to go on from what `interim` gave."""
    outputs = outputs_of(model.schema)
    parts = {name: _parts(found, name) for name in (*RECORD, "splits", "values")}
    records = [Record(*each) for each in zip(*(parts[name] for name in RECORD), strict=True)]
    begins = range(0, len(records), outputs)
    past = (
        node.Iteration(tuple(parts["splits"][i : i + outputs]), tuple(parts["values"][i : i + outputs]))
        for i in begins
    )
    scores = (tuple(found[name].tolist()) for name in ("training", "validation"))
    return replace(
        model,
        records=tuple(tuple(records[i : i + outputs]) for i in begins),
        past=tuple(past),
        stopping=None if model.stopping is None else Stopping(*scores),
        earlier=found,
    )


def require_same(model: Boosted) -> Boosted:
    """The model that goes on from earlier trees, which nodes get with the next step.

    Raises:
        DataError: they rest on other rows.
    """
    assert model.earlier is not None
    if any(not np.array_equal(value, model.earlier[name]) for name, value in _basis(model).items()):
        raise _other_rows()
    return replace(model, behind=True)


def rooted(model: Boosted, update: Update) -> Boosted:
    """The model that knows the sums that its trees begin with, where these have come.

    Raises:
        DataError: it goes on from earlier trees, and these had other sums.
    """
    sums = [update.values[name] for name in sorted(update.values) if name.startswith(node.HISTOGRAMS)]
    if model.trees[0].parts or not sums:
        return model
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(each).tobytes() for each in sums)).digest()
    root = np.frombuffer(digest, dtype=np.uint8)
    if model.earlier is not None and not np.array_equal(root, model.earlier["root"]):
        raise _other_rows()
    return replace(model, root=root, earlier=None)


def _other_rows() -> DataError:
    return DataError(
        "the trees in the folder of checkpoint= were learned from other rows, or go on from others",
        cure="Give each training a folder of its own. Steps before it in a Pipeline give the same rows, to "
        "the bit, on the same nodes and workers alone.",
    )


def _joined(name: str, arrays: Sequence[np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Arrays one after the other, and how long each is."""
    yield name, np.concatenate(arrays)
    yield f"{name} lengths", np.array([len(each) for each in arrays])


def _parts(found: Mapping[str, np.ndarray], name: str) -> list[np.ndarray]:
    return np.split(found[name], np.cumsum(found[f"{name} lengths"])[:-1])

"""XGBClassifier, XGBRegressor and XGBRanker over nodes of one organisation."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError, NodeFailed
from talkoot.core.learner import Kind, Learner, SolvingLearner
from talkoot.core.shard import Schema, Shard
from talkoot.core.transform import Chain
from talkoot.core.update import Update
from talkoot.guards.fixed import FixedPoint
from talkoot.learners.common.group import PROCESS, counts, octets
from talkoot.learners.common.queries import ranks, require_apart
from talkoot.learners.sums.counting import Values, counted
from talkoot.learners.sums.ranges import Ranges
from talkoot.learners.sums.selection import Search, Selection
from talkoot.learners.trees.boosting import sklearn_private as private
from talkoot.learners.trees.boosting.bins import few_values
from talkoot.learners.trees.boosting.survey import RowCounts
from talkoot.learners.trees.boosting.validation import Validation, training_rows
from talkoot.learners.trees.held_out import Learning, counted_classes, drawn_for
from talkoot.learners.xgboost import node
from talkoot.learners.xgboost.accepted import accept, accept_merged, require_one_process
from talkoot.learners.xgboost.booster import fitted, require_fit
from talkoot.learners.xgboost.collective import Address
from talkoot.learners.xgboost.cuts import WEIGHTED, Survey, cut_points, single, surveyed, wanted
from talkoot.learners.xgboost.merged import MergedXGBoosting

TREES = 10  # iterations of a round at least; later ones do a quarter of what there is
ATTEMPTS = 3  # rounds in a row in which processes may lose each other


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Boosted:
    """A fit between two rounds.

    Args:
        schema: what the nodes agreed on.
        total: how many iterations there are to be, at most.
        seed: of the draw of rows that are held out.
        validation: these; None where none are, and before rows are counted.
        history: the scores of these, as XGBoost lists them.
        key: names the run.
        few: for each column its distinct values, None where there are many; None before the first round.
        weighted: whether some node has sample weights.
        search: for the cut points of columns with many values.
        cuts: the cut points, once they are found.
        processes: nodes of each process, by its name; empty where they must gather.
        binned: whether their rows are in bins.
        meeting: where processes meet; None for a single one.
        known: whether processes have the trees that there are.
        step: rises with each round.
        trees: how many iterations there are.
        booster: these, as bytes.
        failed: rounds in a row in which processes lost each other.
    """

    schema: Schema
    total: int
    key: str
    seed: int = 0
    validation: Validation | None = None
    history: Mapping[str, Any] = field(default_factory=dict)
    few: tuple[np.ndarray | None, ...] | None = None
    weighted: bool = False
    search: Selection | None = None
    cuts: tuple[np.ndarray, ...] | None = None
    processes: Mapping[str, int] | None = None
    binned: bool = False
    meeting: Address | None = None
    known: bool = False
    step: int = 0
    trees: int = 0
    booster: bytes = b""
    failed: int = 0

    @property
    def done(self) -> bool:
        """Whether all trees are there."""
        return self.trees == self.total

    @property
    def next(self) -> int:
        """How many iterations there are to be after the next round; all where they may end early."""
        if self.validation is not None:
            return self.total
        return min(self.total, self.trees + max(TREES, self.trees // 4))


@final
@dataclass(frozen=True, slots=True)
class XGBoosting(SolvingLearner):
    """XGBClassifier, XGBRegressor and XGBRanker, trained by XGBoost itself.

    Nodes agree on cut points of bins, exact quantiles over all rows; each process puts its nodes' rows into
    these bins; then processes grow trees by XGBoost's own sums of histograms, some in each round.
    """

    estimator: Any

    kind: ClassVar[Kind] = "exact"
    ends: ClassVar[bool] = True

    @property
    def question_types(self) -> tuple[type, ...]:
        """Of the search for cut points, and of training."""
        held_out = (RowCounts, Validation, Learning)
        return (Survey, Search, Ranges, node.Gather, node.Bin, node.Grow, Address, *held_out)

    @property
    def pools(self) -> bool:
        """XGBoost's own threads grow trees of the rows of all nodes of a process."""
        return True

    def pooled(self, question: Any) -> bool:
        """Whether it makes bins or grows trees."""
        return isinstance(question, node.Bin | node.Grow)

    @property
    def queries(self) -> bool:
        """Of XGBRanker."""
        return ranks(self.estimator)

    def for_chain(self, chain: Chain) -> Learner:
        """Grown of merged histograms where sums are whole numbers, as under masks.

        Raises:
            NotDistributable: of a parameter that XGBoost itself can follow only.
        """
        if not any(isinstance(link, FixedPoint) for link in chain):
            return self
        accept_merged(self.estimator)
        return MergedXGBoosting(self)

    def init(self, schema: Schema, rng: np.random.Generator) -> Boosted:
        """Survey the columns first."""
        require_fit(self.estimator, schema)
        total, key = self.estimator.get_num_boosting_rounds(), secrets.token_hex(16)
        seed = private.seed_of(self.estimator, rng) if self._stops else 0
        return Boosted(schema=schema, total=total, key=key, seed=seed)

    @property
    def own_fit_needs(self) -> str:
        """Rows to validate by, where it stops early."""
        return "rows that are held out, as eval_set=" if self._stops else "query ids" if self.queries else ""

    @property
    def _stops(self) -> bool:
        """Whether trees end early."""
        return self.estimator.early_stopping_rounds is not None

    def question(self, model: Boosted) -> Any:
        """What to count, or how far to grow."""
        if self._stops and model.validation is None:
            return RowCounts()
        if model.few is None:
            return Learning(Survey(), model.validation)
        if model.cuts is None:
            assert model.search is not None
            return Learning(model.search.search, model.validation)
        if model.processes is None:
            return Learning(node.Gather(model.key), model.validation)
        if not model.binned:
            return node.Bin(model.key, model.step, model.processes, model.cuts, model.weighted)
        known = b"" if model.known else model.booster
        return node.Grow(
            model.key, model.step, model.processes, (model.trees, model.next), known, model.meeting
        )

    def work(self, question: Any, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        """Counts of values; or what the process of a node does."""
        match question:
            case RowCounts():
                return counted_classes(single(shard, ctx.schema, self.estimator), ctx), None
            case Learning(question=node.Gather() as own, validation=validation):
                return node.gathered(own, local, shard, ctx, self.estimator, validation)
            case Learning(question=own, validation=validation):
                rows = training_rows(shard, validation, ctx)
                if isinstance(own, Search):
                    return self._counted(own, local, rows, ctx)
                return surveyed(rows, ctx.schema, self.estimator, node.bins(self.estimator)), None
        return node.done(question, local, ctx.schema, self.estimator)

    def _counted(self, search: Search, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        parts = ((block.X, None) for block in single(shard, ctx.schema, self.estimator))
        cached, features = local if isinstance(local, Values) else None, ctx.schema.features
        return counted(parts, search.ranges, cached, features=features, nodes=len(ctx.cohort), zeros=False)

    def step(self, model: Boosted, update: Update) -> Boosted:
        """The next question, or more trees.

        Raises:
            DataError: no node has rows.
            NodeFailed: processes lose each other again and again.
        """
        if model.processes is not None:
            return self._trained(replace(model, step=model.step + 1), update)
        if self._stops and model.validation is None:
            return replace(model, validation=drawn_for(self.estimator, update, model.schema, model.seed))
        if not update.values:
            raise DataError(f"no node has rows, so {type(self.estimator).__name__} has nothing to learn from")
        if model.few is None:
            return self._surveyed(model, update)
        if model.cuts is None:
            return self._searched(model, update)
        processes = counts(update, PROCESS)
        require_apart(update)
        if processes:
            require_one_process(self.estimator, len(processes), weighted=model.weighted)
        return replace(model, processes=processes, binned=False, known=False)

    def _surveyed(self, model: Boosted, update: Update) -> Boosted:
        schema, few = model.schema, few_values(update, node.bins(self.estimator))
        many = any(values is None for values in few)
        return replace(
            model,
            few=few,
            weighted=bool(update.values[WEIGHTED][0]),
            search=Selection.start(schema.features, schema.rows) if many else None,
            cuts=None if many else cut_points(few, None, node.bins(self.estimator)),
        )

    def _searched(self, model: Boosted, update: Update) -> Boosted:
        few = model.few
        assert few is not None
        assert model.search is not None
        search = model.search.narrow(
            update.values, lambda totals: wanted(totals, few, node.bins(self.estimator))
        )
        return replace(
            model,
            search=search,
            cuts=cut_points(few, search, node.bins(self.estimator)) if search.done else None,
        )

    def _trained(self, model: Boosted, update: Update) -> Boosted:
        """After rows are in bins, or trees have grown; all over again where some process did not do it."""
        assert model.processes is not None
        values = update.values
        if node.DONE not in values or values[node.DONE][0] != len(model.processes):
            return self._again(model, update)
        found = replace(model, meeting=node.address(values))
        if not model.binned:
            return replace(found, binned=True)
        booster = octets(values[node.BOOSTER])
        if node.HISTORY in values:
            history = json.loads(octets(values[node.HISTORY]))
            found = replace(found, total=len(next(iter(history["validation_0"].values()))), history=history)
        return replace(found, known=True, trees=found.next, booster=booster, failed=0)

    def _again(self, model: Boosted, update: Update) -> Boosted:
        if model.failed + 1 == ATTEMPTS:
            reasons = ", ".join(counts(update, node.FAILED)) or "some lost their rows"
            raise NodeFailed(
                f"XGBoost failed in the processes of the nodes {ATTEMPTS} times in a row: {reasons}",
                step=f"tree {model.trees}",
                cure="Look whether all workers live and reach each other, or take tk.Inline().",
            )
        return replace(model, processes=None, failed=model.failed + 1)

    def measures(self, model: Boosted) -> Mapping[str, float]:
        """How many iterations there are."""
        return {"trees": float(model.trees)}

    def finish(self, model: Boosted) -> Any:
        """The estimator with the trees."""
        made = fitted(self.estimator, model.booster)
        if model.history:
            made.evals_result_ = dict(model.history)
        return made


def _boosting(estimator: Any) -> Learner:
    accept(estimator)
    return XGBoosting(estimator)


def __getattr__(name: str) -> Any:
    """``FITS`` has XGBoost's classes once somebody has imported them: without them no estimator needs it."""
    if name != "FITS":
        raise AttributeError(name)
    found = sys.modules.get("xgboost.sklearn")
    made: dict[type, Callable[[Any], Learner]] = {}
    for kind in ("XGBClassifier", "XGBRegressor", "XGBRanker"):
        if hasattr(found, kind):
            made[getattr(found, kind)] = _boosting
    return made

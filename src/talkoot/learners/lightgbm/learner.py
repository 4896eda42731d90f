"""LGBMClassifier, LGBMRegressor and LGBMRanker over nodes of one trust domain."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
from sklearn.base import clone, is_classifier

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError, NodeFailed, PlanError
from talkoot.core.learner import Kind, Learner, SolvingLearner
from talkoot.core.shard import Schema, Shard
from talkoot.core.transform import Chain
from talkoot.core.update import Update
from talkoot.learners.common.columnwise import require_no_categories, require_numbers
from talkoot.learners.common.group import PROCESS, counts, octets
from talkoot.learners.common.queries import ranks, require_apart
from talkoot.learners.common.rows import require_dense
from talkoot.learners.lightgbm import node
from talkoot.learners.lightgbm.accepted import accept, patience
from talkoot.learners.lightgbm.rules import require_several, settings_of
from talkoot.learners.lightgbm.several import BOOSTER, FAILED, Bin, Grow, Sample, Several, several_of
from talkoot.learners.solvers.target_stats import target_mean, two_classes
from talkoot.learners.trees.boosting import sklearn_private as private
from talkoot.learners.trees.boosting.survey import RowCounts
from talkoot.learners.trees.boosting.validation import Validation
from talkoot.learners.trees.held_out import counted_classes, drawn_for

ATTEMPTS = 3  # times in a row that the process may lose its rows


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Boosted:
    """A fit between two rounds.

    Args:
        schema: what the nodes agreed on.
        key: names the run.
        seed: of the draw of rows that are held out.
        validation: these; None where none are, and before rows are counted.
        processes: nodes of each process, by its name; None where they must gather.
        booster: the trees, as LightGBM's text; empty before they are there.
        stopped: the best iteration, and the scores of the rows held out; empty where none are.
        step: rises with each round.
        several: training in several processes; None in one.
        furthest: iterations that several processes once had.
        failed: times in a row that processes lost their rows, or each other, without getting any further.
    """

    schema: Schema
    key: str
    seed: int = 0
    validation: Validation | None = None
    processes: Mapping[str, int] | None = None
    several: Several | None = None
    furthest: int = 0
    booster: bytes = b""
    stopped: tuple[Any, ...] = ()
    step: int = 0
    failed: int = 0

    @property
    def done(self) -> bool:
        """Whether the trees are there."""
        return bool(self.booster)


@final
@dataclass(frozen=True, slots=True)
class LightBoosting(SolvingLearner):
    """LightGBM's estimators, trained by their own `fit` on the rows of all nodes of a process.

    Where nodes are in several processes, LightGBM's data-parallel trees have bins and a start of all rows,
    and sums over connections on which no process waits without end for another.
    """

    estimator: Any

    kind: ClassVar[Kind] = "exact"
    ends: ClassVar[bool] = True

    @property
    def question_types(self) -> tuple[type, ...]:
        """Of one process, and of several."""
        return (RowCounts, Validation, node.Gather, node.Train, Sample, Bin, Grow)

    @property
    def pools(self) -> bool:
        """LightGBM's own threads grow trees of the rows of all nodes of a process."""
        return True

    def pooled(self, question: Any) -> bool:
        """Whether it trains."""
        return isinstance(question, node.Train | Bin | Grow)

    @property
    def queries(self) -> bool:
        """Of LGBMRanker."""
        return ranks(self.estimator)

    @property
    def own_fit_needs(self) -> str:
        """Rows to validate by, where it stops early."""
        stops = patience(self.estimator) > 0
        return "rows that are held out, as eval_set=" if stops else "query ids" if self.queries else ""

    def for_chain(self, chain: Chain) -> Learner:
        """Itself; behind masks it is refused.

        Raises:
            PlanError: trees of one process would go past the masks.
        """
        if chain.talks:
            raise PlanError(
                "LightGBM trains on the rows of all nodes in one process, past the secure sum",
                cure="Leave mask() out, or take HistGradientBoostingClassifier() or -Regressor().",
            )
        return self

    def init(self, schema: Schema, rng: np.random.Generator) -> Boosted:
        """Bring the rows together first."""
        require_no_categories(schema, self.estimator)
        require_numbers(schema, self.estimator)
        require_dense(schema, self.estimator)
        if is_classifier(self.estimator):
            two_classes(schema, self.estimator)
        else:
            target_mean(schema, self.estimator)
        node.small_fit(self.estimator, schema)
        seed = private.seed_of(self.estimator, rng) if patience(self.estimator) else 0
        return Boosted(schema=schema, key=secrets.token_hex(16), seed=seed)

    def question(self, model: Boosted) -> Any:
        """Count rows where some are held out, gather, then train in one process or in several."""
        if patience(self.estimator) and model.validation is None:
            return RowCounts()
        if model.processes is None:
            return node.Gather(model.key, model.validation)
        if model.several is not None:
            return model.several.question(model.key, model.step)
        return node.Train(model.key, model.step, model.processes)

    def work(self, question: Any, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        """Which process a node is in; or what the process learns."""
        if isinstance(question, RowCounts):
            return counted_classes((block for block in shard.blocks() if len(block)), ctx), None
        if isinstance(question, node.Gather):
            return node.gather(question, local, shard, ctx, self.estimator)
        if isinstance(question, Sample | Bin | Grow):
            return node.take_part(question, local, ctx, self.estimator)
        return node.train(question, local, ctx, self.estimator)

    def step(self, model: Boosted, update: Update) -> Boosted:
        """The next question, or the trees.

        Raises:
            DataError: no node has rows.
            PlanError: in several processes LightGBM would learn something else.
            NodeFailed: processes lose their rows, or each other, again and again.
        """
        if patience(self.estimator) and model.validation is None:
            return replace(model, validation=drawn_for(self.estimator, update, model.schema, model.seed))
        if model.processes is None:
            require_apart(update)
            return self._gathered(replace(model, step=model.step + 1), update)
        if model.several is not None:
            return self._trained(replace(model, step=model.step + 1), model.several.step(update), update)
        if BOOSTER in update.values:
            found = replace(model, booster=octets(update.values[BOOSTER]))
            if node.STOPPED not in update.values:
                return found
            return replace(found, stopped=tuple(json.loads(octets(update.values[node.STOPPED]))))
        if model.failed + 1 == ATTEMPTS:
            raise NodeFailed(
                f"the process that trains {self.name} lost its rows {ATTEMPTS} times in a row",
                cure="Look whether its memory suffices for the rows of all nodes, or take tk.Inline().",
            )
        return replace(model, processes=None, failed=model.failed + 1)

    def _gathered(self, model: Boosted, update: Update) -> Boosted:
        """Nodes are in one process, or in several, which LightGBM must learn the same in."""
        processes = counts(update, PROCESS)
        if not processes:
            raise DataError(f"no node has rows, so {self.name} has nothing to learn from")
        if len(processes) == 1:
            return replace(model, processes=processes)
        small = node.small_fit(self.estimator, model.schema)
        settings = settings_of(self.estimator, small)
        several = several_of(update, self.estimator, model.schema, settings)
        require_several(self.estimator, len(processes), small, weighted=several.weighted)
        return replace(model, processes=processes, several=several)

    def _trained(self, model: Boosted, several: Several | None, update: Update) -> Boosted:
        """After a round of several processes; all over again where one did not do its part."""
        if several is None:
            return self._again(model, update)
        failed = 0 if several.trees > model.furthest else model.failed
        furthest = max(several.trees, model.furthest)
        return replace(model, several=several, booster=several.booster, failed=failed, furthest=furthest)

    def _again(self, model: Boosted, update: Update) -> Boosted:
        assert model.several is not None
        if model.failed + 1 == ATTEMPTS:
            reasons = ", ".join(counts(update, FAILED)) or "some lost their rows"
            raise NodeFailed(
                f"LightGBM failed in the processes of the nodes {ATTEMPTS} times in a row: {reasons}",
                step=f"tree {model.several.trees}",
                cure="Look whether all workers live and reach each other, or take tk.Inline().",
            )
        return replace(model, processes=None, several=None, failed=model.failed + 1)

    def measures(self, model: Boosted) -> Mapping[str, float]:
        """How many iterations there are."""
        if model.several is not None:
            return {"trees": float(model.several.trees)}
        iterations = self.estimator.n_estimators
        if model.stopped:
            iterations = len(next(iter(model.stopped[2]["valid_0"].values())))
        return {"trees": float(iterations) if model.done else 0.0}

    def finish(self, model: Boosted) -> Any:
        """The estimator with the trees."""
        from lightgbm import Booster

        made, small = clone(self.estimator), node.small_fit(self.estimator, model.schema)
        given = {*small.get_params(deep=False), "_other_params"}
        vars(made).update({name: value for name, value in vars(small).items() if name not in given})
        made._Booster = Booster(model_str=model.booster.decode())
        if model.stopped:
            made._best_iteration, made._best_score, made._evals_result = model.stopped
            made._Booster.best_iteration, made._Booster.best_score = model.stopped[:2]
        return made


def _boosting(estimator: Any) -> Learner:
    accept(estimator)
    return LightBoosting(estimator)


def __getattr__(name: str) -> Any:
    """``FITS`` has LightGBM's classes once somebody has imported them: without them no estimator needs it."""
    if name != "FITS":
        raise AttributeError(name)
    found = sys.modules.get("lightgbm.sklearn")
    made: dict[type, Callable[[Any], Learner]] = {}
    for kind in ("LGBMClassifier", "LGBMRegressor", "LGBMRanker"):
        if hasattr(found, kind):
            made[getattr(found, kind)] = _boosting
    return made

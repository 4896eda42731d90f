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
from talkoot.learners.common.group import PROCESS, Rows, counts, octets
from talkoot.learners.common.queries import ranks, require_apart
from talkoot.learners.common.rows import require_dense
from talkoot.learners.lightgbm import node
from talkoot.learners.lightgbm.accepted import accept, patience
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
        failed: times in a row that the process lost its rows.
    """

    schema: Schema
    key: str
    seed: int = 0
    validation: Validation | None = None
    processes: Mapping[str, int] | None = None
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

    LightGBM's sums between processes are not used: there a process waits without end for one that hangs, bins
    come from the rows of one process each, and trees start from the mean of the processes' own means.
    """

    estimator: Any

    kind: ClassVar[Kind] = "exact"
    ends: ClassVar[bool] = True

    @property
    def question_types(self) -> tuple[type, ...]:
        """Of its two rounds."""
        return (RowCounts, Validation, node.Gather, node.Train)

    @property
    def pools(self) -> bool:
        """LightGBM's own threads grow trees of the rows of all nodes of a process."""
        return True

    def pooled(self, question: Any) -> bool:
        """Whether it trains."""
        return isinstance(question, node.Train)

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
        self._small_fit(schema)
        seed = private.seed_of(self.estimator, rng) if patience(self.estimator) else 0
        return Boosted(schema=schema, key=secrets.token_hex(16), seed=seed)

    def _small_fit(self, schema: Schema) -> Any:
        """The estimator fitted to rows of zeros, which LightGBM refuses as it would refuse all rows."""
        least = 0.0 if self.queries else 0.5
        y = np.array([least, 1.0]) if schema.classes is None else schema.classes
        rows = Rows(np.zeros((len(y), schema.features)), y, None, np.zeros(2, int) if self.queries else None)
        rows = replace(rows, held_out=rows) if patience(self.estimator) else rows
        return node.fitted(self.estimator, rows, schema, n_estimators=1, verbose=-1)

    def question(self, model: Boosted) -> Any:
        """Count rows where some are held out, gather, then train."""
        if patience(self.estimator) and model.validation is None:
            return RowCounts()
        if model.processes is None:
            return node.Gather(model.key, model.validation)
        return node.Train(model.key, model.step, model.processes)

    def work(self, question: Any, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        """Which process a node is in; or what the process learns."""
        if isinstance(question, RowCounts):
            return counted_classes((block for block in shard.blocks() if len(block)), ctx), None
        if isinstance(question, node.Gather):
            return node.gather(question, local, shard, ctx, self.estimator)
        return node.train(question, local, ctx, self.estimator)

    def step(self, model: Boosted, update: Update) -> Boosted:
        """The next question, or the trees.

        Raises:
            DataError: no node has rows.
            PlanError: nodes are in several processes.
            NodeFailed: the process loses its rows again and again.
        """
        if patience(self.estimator) and model.validation is None:
            return replace(model, validation=drawn_for(self.estimator, update, model.schema, model.seed))
        if model.processes is None:
            require_apart(update)
            return replace(model, processes=self._one_process(counts(update, PROCESS)), step=model.step + 1)
        if node.BOOSTER in update.values:
            found = replace(model, booster=octets(update.values[node.BOOSTER]))
            if node.STOPPED not in update.values:
                return found
            return replace(found, stopped=tuple(json.loads(octets(update.values[node.STOPPED]))))
        if model.failed + 1 == ATTEMPTS:
            raise NodeFailed(
                f"the process that trains {self.name} lost its rows {ATTEMPTS} times in a row",
                cure="Look whether its memory suffices for the rows of all nodes, or take tk.Inline().",
            )
        return replace(model, processes=None, failed=model.failed + 1)

    def _one_process(self, processes: Mapping[str, int]) -> Mapping[str, int]:
        if not processes:
            raise DataError(f"no node has rows, so {self.name} has nothing to learn from")
        if len(processes) > 1:
            raise PlanError(
                f"{self.name} learns in one process, and the nodes are in {len(processes)}",
                cure="Take tk.Inline(), or tk.Ray(1, cpus=...) for one actor with many cores; "
                "xgboost.XGBClassifier() and -Regressor() learn in many processes.",
            )
        return processes

    def measures(self, model: Boosted) -> Mapping[str, float]:
        """How many iterations there are."""
        iterations = self.estimator.n_estimators
        if model.stopped:
            iterations = len(next(iter(model.stopped[2]["valid_0"].values())))
        return {"trees": float(iterations) if model.done else 0.0}

    def finish(self, model: Boosted) -> Any:
        """The estimator with the trees."""
        from lightgbm import Booster

        made, small = clone(self.estimator), self._small_fit(model.schema)
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

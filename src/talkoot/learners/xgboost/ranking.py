"""XGBoost's rankings behind sums of nodes: the gradients of the queries that a node has."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from talkoot.core.shard import Schema, Shard
from talkoot.learners.common.queries import by_query
from talkoot.learners.xgboost.booster import dry_fit

PAIRS, UNSET = 32, 2**32 - 1  # best rows of a query that are compared with all below, where none are set
MEASURES = ("rank:pairwise", "rank:ndcg", "rank:map")  # in the order of the kernel's numbers


@final
@dataclass(frozen=True, slots=True, eq=False)
class RankingLoss:
    """The gradients of a node's rows, in place of those of a loss of single rows.

    Args:
        order: (rows,) the numbers of the rows, query by query.
        ends: (queries + 1,) from where to where in it a query has them.
        measure: what exchanges of rows change, see `MEASURES`.
        pairs: best rows that are compared with all below them.
        normalized: whether the gradients of a query are made smaller the larger they are together.
        by_difference: whether changes count less the more scores differ.
        exponential: whether a relevance gains 2^relevance - 1.
    """

    order: np.ndarray
    ends: np.ndarray
    measure: int
    pairs: int
    normalized: bool
    by_difference: bool
    exponential: bool

    constant_hessian = False
    differentiable = True

    def init_gradient_and_hessian(
        self, *, n_samples: int, dtype: Any, order: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Arrays for them."""
        del order
        return np.empty(n_samples, dtype), np.empty(n_samples, dtype)

    def gradient_hessian(
        self,
        *,
        y_true: np.ndarray,
        raw_prediction: np.ndarray,
        sample_weight: None,
        n_threads: int,
        gradient_out: np.ndarray,
        hessian_out: np.ndarray,
    ) -> None:
        """Write them into arrays."""
        from talkoot.kernels.lambdas import lambdas

        del n_threads
        assert sample_weight is None
        scores, relevances = (np.ascontiguousarray(v, np.float32) for v in (raw_prediction[:, 0], y_true))
        rule = (self.measure, self.pairs, self.normalized, self.by_difference, self.exponential)
        lambdas(scores, relevances, self.order, self.ends, *rule, gradient_out, hessian_out)


def ranking_loss(estimator: Any, shard: Shard, schema: Schema) -> RankingLoss:
    """The loss of the rows of a shard."""
    ids = [block.qid for block in shard.blocks() if block.qid is not None and len(block)]
    order, sizes = by_query(np.concatenate(ids)) if ids else (np.zeros(0, np.intp), np.zeros(0, np.intp))
    saved = json.loads(bytes(dry_fit(estimator, schema).save_raw("json")))
    found = saved["learner"]["objective"]["lambdarank_param"]
    pairs = int(found["lambdarank_num_pair_per_sample"])
    return RankingLoss(
        order,
        np.cumsum([0, *sizes]),
        MEASURES.index(estimator.objective),
        min(PAIRS if pairs == UNSET else pairs, len(order)),
        found["lambdarank_normalization"] == "1",
        found["lambdarank_score_normalization"] == "1",
        found["ndcg_exp_gain"] == "1",
    )

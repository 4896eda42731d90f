"""Compositions: Pipeline, ColumnTransformer and FeatureUnion of anything that has a learner, also nested.

Learners run one after the other (`serial`) or side by side (`parallel`). Rows are transformed by the fitted
parts (`transform`, `shapes`) and cut to the columns that a part reads (`columns`). The result is
scikit-learn's own object (`unions`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.kernel_approximation import RBFSampler
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import Binarizer, FunctionTransformer, Normalizer, PolynomialFeatures

from talkoot.core.errors import NotDistributable, PlanError
from talkoot.core.learner import Learner
from talkoot.core.merge import Sum
from talkoot.core.outer import Solve
from talkoot.learners import learner_for
from talkoot.learners.common.estimator import refuse
from talkoot.learners.common.sklearn_private import requests_weights
from talkoot.learners.compose.parallel import SEPARATOR, Parallel
from talkoot.learners.compose.parts import error_context
from talkoot.learners.compose.serial import Serial
from talkoot.learners.compose.stateless import Stateless, is_stateless
from talkoot.learners.compose.transform import container, is_drop, reads_text
from talkoot.learners.compose.unions import Union


def serial(estimator: Pipeline) -> Serial:
    """The learner of a pipeline.

    Raises:
        NotDistributable: a step that cannot be distributed, by name.
        PlanError: names that scikit-learn would refuse.
    """
    if estimator.transform_input is not None:
        refuse(estimator, "transform_input", "no learner takes further inputs", "Leave transform_input out.")
    _require_names([name for name, _ in estimator.steps])
    last = estimator.steps[-1][0]
    steps = tuple((name, _part(name, step, last=name == last)) for name, step in estimator.steps)
    weighted = frozenset(name for name, step in estimator.steps if _requests_weights(step))
    return Serial(estimator, steps, weighted or frozenset({last}))


def parallel(estimator: Union) -> Parallel:
    """The learner of a ColumnTransformer or a FeatureUnion.

    Raises:
        NotDistributable: a part that cannot be distributed, by name.
        PlanError: names that scikit-learn would refuse.
    """
    if isinstance(estimator, FeatureUnion):
        listed = list(estimator.transformer_list)
    else:
        for name, part, spec in estimator.transformers:
            _require_table(name, part, spec)
        listed = [(name, part) for name, part, _ in estimator.transformers]
        listed.append(("remainder", estimator.remainder))
    listed = [(name, part) for name, part in listed if not is_drop(part)]
    _require_names([name for name, _ in listed])
    parts = {name: _part(name, _transformer(part, estimator), last=False) for name, part in listed}
    weighted = frozenset(name for name, part in listed if _requests_weights(part))
    return Parallel(estimator, parts, weighted or frozenset(parts))


def _transformer(part: Any, union: Union) -> Any:
    """A part; for "passthrough" the transformer that scikit-learn uses for it."""
    if not isinstance(part, str) or part != "passthrough":
        return part
    if isinstance(union, FeatureUnion):
        return FunctionTransformer(feature_names_out="one-to-one")
    made = FunctionTransformer(accept_sparse=True, check_inverse=False, feature_names_out="one-to-one")
    return made.set_output(transform=container(union))


def _part(name: str, estimator: Any, *, last: bool) -> Learner:
    """The learner of a part, which must sum and solve, so that parts can share rounds."""
    with error_context(name):
        if is_stateless(estimator):
            return Stateless(estimator)
        made = learner_for(estimator)
        if not (last or hasattr(estimator, "transform")):
            raise PlanError(
                f"{type(estimator).__name__} does not transform rows",
                cure="It can only be the last step of a Pipeline.",
            )
        if made.continues:
            why = "the steps before it are fitted again, and its trees would read other columns"
            cure = "Fit sklearn.base.clone(pipeline). Or transform the rows, and fit the last step by itself."
            refuse(estimator, "warm_start", why, cure)
        if not (isinstance(made.outer(), Solve) and isinstance(made.merge(), Sum)):
            raise NotDistributable(
                f"{type(made).__name__} is not fitted from sums, so it cannot share a run with others",
                cure="Fit it alone.",
            )
        return made


def _require_table(name: str, part: Any, spec: Any) -> None:
    """Refuse one column for a part that reads a table, and a table for one that reads a column."""
    text = not (part is None or isinstance(part, str)) and reads_text(part)
    if text and not np.isscalar(spec):
        raise PlanError(f"{name!r} reads one column of text", cure='Name it without brackets: "column".')
    if np.isscalar(spec) and not text and not is_drop(part):
        raise PlanError(f"{name!r} reads a table, not a column", cure=f"Write [{spec!r}], with brackets.")


def _require_names(names: Sequence[str]) -> None:
    """Refuse names that scikit-learn would refuse after the run."""
    if not names:
        raise PlanError("there is nothing to fit in the composition", cure="Give it at least one part.")
    wrong = [name for name in names if names.count(name) > 1 or SEPARATOR in name]
    if wrong:
        raise PlanError(
            f"{wrong[0]!r} cannot name a part", cure=f'Names differ and do not hold "{SEPARATOR}".'
        )


def _requests_weights(estimator: Any) -> bool:
    """Whether an estimator, or a part of it, requests weights by ``set_fit_request(sample_weight=True)``.

    `get_metadata_routing` does not end: RidgeCV's lists its scorer, which lists RidgeCV.
    """
    if estimator is None or isinstance(estimator, str):
        return False
    match estimator:
        case Pipeline():
            return any(_requests_weights(step) for _, step in estimator.steps)
        case FeatureUnion():
            return any(_requests_weights(part) for _, part in estimator.transformer_list)
        case ColumnTransformer():
            parts = [*(part for _, part, _ in estimator.transformers), estimator.remainder]
            return any(map(_requests_weights, parts))
    return requests_weights(estimator)


STATELESS = (Binarizer, FunctionTransformer, HashingVectorizer, Normalizer, PolynomialFeatures, RBFSampler)

FITS: Mapping[type, Callable[[Any], Learner]] = {
    Pipeline: serial,
    ColumnTransformer: parallel,
    FeatureUnion: parallel,
    **dict.fromkeys(STATELESS, Stateless),
}

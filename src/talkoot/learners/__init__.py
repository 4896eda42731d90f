"""Learners: how each kind of model is learned from many nodes.

Every module here lists what it fits in ``FITS``: the estimator's exact class -> a function that makes
its learner, or refuses a parameter with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from talkoot.core.errors import DataError, NotDistributable
from talkoot.core.learner import Learner
from talkoot.learners.common.sklearn_private import validate_parameters

MODULES = (
    "preprocess.scalers",
    "preprocess.impute",
    "preprocess.encoders",
    "preprocess.quantiles",
    "linear.gram",
    "linear.glm",
    "decompose.pca",
    "bayes.naive_bayes",
    "compose.compositions",
    "trees.boosting.boosting",
    "trees.decision.decision",
    "trees.forests.forests",
    "trees.forests.isolation",
    "xgboost.learner",
    "lightgbm.learner",
)
LIBRARIES = dict.fromkeys(
    ("XGBClassifier", "XGBRegressor", "XGBRanker"), "xgboost"
)  # of estimators, besides scikit-learn


def catalogue() -> dict[type, Callable[[Any], Learner]]:
    """Every estimator class that a learner fits, with the function that makes the learner."""
    found: dict[type, Callable[[Any], Learner]] = {}
    for name in MODULES:
        found.update(import_module(f"talkoot.learners.{name}").FITS)
    return found


def estimator_class(name: str) -> type | None:
    """The class of an estimator that a learner fits, by its name; None where there is none.

    Raises:
        DataError: its library is not installed here.
    """
    if name in LIBRARIES:
        library = LIBRARIES[name]
        try:
            import_module(library)
        except ImportError as error:
            cure = f"pip install 'talkoot[{library}]'"
            raise DataError(f"{name} needs {library}, which is not installed here", cure=cure) from error
    return {kind.__name__: kind for kind in catalogue()}.get(name)


def families(names: Iterable[str]) -> tuple[str, ...]:
    """The packages whose learners fit estimators of these names, such as "linear"; each once.

    >>> families(["StandardScaler", "Ridge"])
    ('preprocess', 'linear')
    """
    homes = {
        kind.__name__: name.partition(".")[0]
        for name in MODULES
        for kind in import_module(f"talkoot.learners.{name}").FITS
    }
    return tuple(dict.fromkeys(homes[name] for name in names if name in homes))


def learner_for(estimator: Any) -> Learner:
    """The learner that fits `estimator`, for a `Plan` of your own.

    Args:
        estimator: an unfitted scikit-learn estimator, or a learner, which is returned as it is.

    Raises:
        NotDistributable: no learner fits it, or one of its parameters; the message names the nearest that
            can.

    >>> import talkoot as tk
    >>> from sklearn.preprocessing import StandardScaler
    >>> tk.learner_for(StandardScaler()).kind
    'exact'
    >>> plan = tk.Plan(tk.learner_for(StandardScaler()), sync=tk.rounds(deadline="1m"))
    """
    if isinstance(estimator, Learner):
        return estimator
    make = catalogue().get(type(estimator))
    if make is None:
        from talkoot.learners.common.alternatives import nearest

        name = getattr(estimator, "__name__", type(estimator).__name__)
        raise NotDistributable(f"{name} cannot be distributed", cure=nearest(estimator, catalogue()))
    try:
        validate_parameters(estimator)
    except ValueError as error:
        raise NotDistributable(str(error)) from error
    return make(estimator)

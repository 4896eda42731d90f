"""tk.Distributed: a scikit-learn estimator that fits over many nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self, TypeVar, cast, final

from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import Tags, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, has_fit_parameter, validate_data

from talkoot.api.fit import fit
from talkoot.api.job import require_estimator
from talkoot.core.engine import Engine

Method = TypeVar("Method", bound=Callable[..., Any])


def _if_inner(name: str) -> Callable[[Method], Method]:
    """A method that is there only if the estimator has one of that name."""

    def has(self: Distributed) -> bool:
        getattr(self.__dict__.get("estimator_", self.estimator), name)  # raises its own AttributeError
        return True

    return cast("Callable[[Method], Method]", available_if(has))


@final
class Distributed(MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """An estimator whose `fit` splits the rows over nodes; for Pipeline, GridSearchCV and the like.

    After `fit` it has the attributes of the fitted estimator (``coef_``, ``classes_``, ...).

    Args:
        estimator: an unfitted scikit-learn estimator that a learner fits.
        on: where the nodes are; chosen for the job and this machine by default.
        nodes: number of nodes; as many as the engine works on at once by default.

    Attributes:
        estimator_: the fitted estimator, which predicts without Talkoot.

    >>> import numpy as np, talkoot as tk
    >>> from sklearn.linear_model import Ridge
    >>> X = np.arange(12.0).reshape(6, 2)
    >>> model = tk.Distributed(Ridge(), nodes=2).fit(X, X.sum(axis=1))
    >>> model.coef_.round(3).tolist()
    [0.993, 0.993]
    """

    __metadata_request__fit = {"sample_weight": None}  # noqa: RUF012  # as if `fit` were a function

    def __init__(self, estimator: Any, *, on: Engine | None = None, nodes: int | None = None) -> None:
        self.estimator = estimator
        self.on = on
        self.nodes = nodes

    @property
    def fit(self) -> Callable[..., Self]:
        """Fit to rows in memory: ``fit(X, y=None, sample_weight=None)``.

        It takes sample weights only if the estimator does, as scikit-learn inspects its signature.

        Args of the function:
            X: (rows, features) array, CSR matrix or table.
            y: (rows,) or (rows, outputs) targets.
            sample_weight: (rows,) weights.

        Raises:
            ValueError: rows that scikit-learn refuses, or an estimator that no learner fits.
        """
        return self._fit_weighted if has_fit_parameter(self.estimator, "sample_weight") else self._fit_plain

    def _fit_plain(self, X: Any, y: Any = None) -> Self:
        return self._fit_weighted(X, y)

    def _fit_weighted(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        require_estimator(self.estimator, "tk.Distributed")
        X, y = self._validate(X, y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, allow_all_zero_weights=False)
        done = fit(clone(self.estimator), X, y, weight=sample_weight, nodes=self.nodes, on=self.on)
        self.estimator_ = done.model
        return self

    def _validate(self, X: Any, y: Any) -> tuple[Any, Any]:
        tags = get_tags(self.estimator)
        composed = isinstance(self.estimator, Pipeline | FeatureUnion | ColumnTransformer)
        if composed or tags.input_tags.categorical or tags.input_tags.string:
            validate_data(self, X, skip_check_array=True)  # their parts validate their own input
            return X, y
        table = X if hasattr(X, "columns") else None  # nodes read tables by column
        checks: dict[str, Any] = {
            "accept_sparse": "csr" if tags.input_tags.sparse else False,
            "dtype": ("float64", "float32"),
            "ensure_all_finite": "allow-nan" if tags.input_tags.allow_nan else True,
            "ensure_min_samples": 2 if isinstance(self.estimator, PCA) else 1,
        }
        if y is None and not tags.target_tags.required:
            X = validate_data(self, X, **checks)
            return X if table is None else table, None
        many = tags.target_tags.multi_output
        X, y = validate_data(self, X, y, multi_output=many, y_numeric=is_regressor(self.estimator), **checks)
        if is_classifier(self.estimator):
            check_classification_targets(y)
        return X if table is None else table, y

    def __sklearn_is_fitted__(self) -> bool:
        return "estimator_" in self.__dict__

    def __sklearn_tags__(self) -> Tags:
        return replace(get_tags(self.estimator), array_api_support=False)

    def __getattr__(self, name: str) -> Any:
        if name == "penalty" and "estimator" in self.__dict__ and _zeroes_coefficients(self.estimator):
            return "l1"  # SelectFromModel takes its threshold from this, or from the class's name
        fitted = self.__dict__.get("estimator_")
        if fitted is not None and name.endswith("_") and not name.startswith("_"):
            return getattr(fitted, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _fitted(self) -> Any:
        check_is_fitted(self)
        return self.estimator_

    @_if_inner("predict")
    def predict(self, X: Any) -> Any:
        """The fitted estimator's predictions, (rows,) or (rows, outputs)."""
        return self._fitted().predict(X)

    @_if_inner("predict_proba")
    def predict_proba(self, X: Any) -> Any:
        """Probabilities, (rows, classes)."""
        return self._fitted().predict_proba(X)

    @_if_inner("predict_log_proba")
    def predict_log_proba(self, X: Any) -> Any:
        """Logarithms of the probabilities, (rows, classes)."""
        return self._fitted().predict_log_proba(X)

    @_if_inner("decision_function")
    def decision_function(self, X: Any) -> Any:
        """Decision values, (rows,) or (rows, classes)."""
        return self._fitted().decision_function(X)

    @_if_inner("transform")
    def transform(self, X: Any) -> Any:
        """The transformed rows."""
        return self._fitted().transform(X)

    @_if_inner("transform")
    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit, then transform the same rows."""
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        return self.fit(X, y, **weights).transform(X)

    @_if_inner("inverse_transform")
    def inverse_transform(self, X: Any) -> Any:
        """The rows that transform to `X`."""
        return self._fitted().inverse_transform(X)

    @_if_inner("score")
    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """The fitted estimator's own score on `X` and `y`."""
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        return float(self._fitted().score(X, y, **weights))

    @_if_inner("score_samples")
    def score_samples(self, X: Any) -> Any:
        """Log-likelihoods of the rows, (rows,)."""
        return self._fitted().score_samples(X)

    @_if_inner("get_feature_names_out")
    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Names of the transformed columns."""
        return self._fitted().get_feature_names_out(input_features)

    @_if_inner("set_output")
    def set_output(self, *, transform: str | None = None) -> Self:
        """What `transform` returns: ``"default"``, ``"pandas"`` or ``"polars"``."""
        for inner in (self.estimator, self.__dict__.get("estimator_")):
            if inner is not None:
                inner.set_output(transform=transform)
        return self


def _zeroes_coefficients(estimator: Any) -> bool:
    """Whether its penalty sets coefficients to exactly 0, by the rules of SelectFromModel."""
    pure_l1 = getattr(estimator, "l1_ratio", None) == 1
    name = type(estimator).__name__
    named = "Lasso" in name or (name in ("ElasticNet", "LogisticRegression") and pure_l1)
    return named or getattr(estimator, "penalty", None) == "l1"

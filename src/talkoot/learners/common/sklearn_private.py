"""The private names of scikit-learn that learners use; a test says which a new version moved."""

from __future__ import annotations

from typing import Any


def validate_parameters(estimator: Any) -> None:
    """Refuse what scikit-learn's own fit would refuse.

    Raises:
        ValueError: a parameter is out of range or of the wrong type.
    """
    if hasattr(estimator, "_parameter_constraints"):
        estimator._validate_params()


def reads_columns(fitted: Any) -> bool:
    """Whether a fitted estimator codes columns of categories by itself, as boosted trees do."""
    return hasattr(fitted, "_preprocessor")


def minka_dimension(variance: Any, rows: int) -> int:
    """Minka's number of components, as for PCA(n_components="mle")."""
    from sklearn.decomposition._pca import _infer_dimension

    return int(_infer_dimension(variance, rows))


def set_components(fitted: Any, count: int) -> None:
    """Set the number of columns that LinearDiscriminantAnalysis.transform returns."""
    fitted._max_components = fitted._n_features_out = count


def base_loss(estimator: Any) -> Any:
    """The loss of a generalised linear regressor; `predict` reads its link from the fitted `_base_loss`."""
    return estimator._get_loss()


def bin_encoder(fitted: Any) -> Any:
    """The inner encoder of a KBinsDiscretizer; None if it encodes ordinally."""
    return getattr(fitted, "_encoder", None)


def set_bin_encoder(fitted: Any, encoder: Any) -> None:
    """Replace the inner encoder of a KBinsDiscretizer."""
    fitted._encoder = encoder


def requests_weights(estimator: Any) -> bool:
    """Whether `set_fit_request(sample_weight=True)` was called."""
    request = getattr(estimator, "_get_metadata_request", None)
    return request is not None and bool(request().consumes("fit", ["sample_weight"]))


def output_container(estimator: Any) -> str | None:
    """What `set_output` chose for transform; None without."""
    chosen: str | None = getattr(estimator, "_sklearn_output_config", {}).get("transform")
    return chosen

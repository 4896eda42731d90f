"""Alternatives to estimators that no learner fits."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

from sklearn.base import BaseEstimator, ClassifierMixin, ClusterMixin, RegressorMixin, TransformerMixin

KERNEL = "It keeps rows, which must not leave their nodes. Take {} behind RBFSampler()."
TREES = "Take {}: trees grow from the rows of all nodes; or {}, whose trees grow at nodes."
NETWORKS = "Networks are not there yet. Take {} behind PolynomialFeatures() or RBFSampler()."
SEARCH = "Take {} and choose its {} with GridSearchCV(tk.Distributed(...), ...)."

ADVICE = {  # what to take: instead of what
    KERNEL.format("LinearSVC() or LogisticRegression()"): """
        SVC NuSVC KNeighborsClassifier RadiusNeighborsClassifier GaussianProcessClassifier
        LabelPropagation LabelSpreading""",
    KERNEL.format("Ridge() or HuberRegressor()"): """
        SVR NuSVR KNeighborsRegressor RadiusNeighborsRegressor GaussianProcessRegressor KernelRidge""",
    TREES.format("HistGradientBoostingClassifier()", "RandomForestClassifier()"): """
        ExtraTreeClassifier
        GradientBoostingClassifier AdaBoostClassifier""",
    TREES.format("HistGradientBoostingRegressor()", "RandomForestRegressor()"): """
        ExtraTreeRegressor
        GradientBoostingRegressor AdaBoostRegressor""",
    NETWORKS.format("LogisticRegression()"): "MLPClassifier",
    NETWORKS.format("Ridge()"): "MLPRegressor",
    "Take LogisticRegression(), or LinearSVC().": """
        Perceptron SGDClassifier PassiveAggressiveClassifier""",
    "Take LinearDiscriminantAnalysis() or GaussianNB().": """
        RidgeClassifier RidgeClassifierCV NearestCentroid QuadraticDiscriminantAnalysis""",
    "Take HuberRegressor() or Ridge().": """
        SGDRegressor PassiveAggressiveRegressor LinearSVR TheilSenRegressor
        QuantileRegressor""",
    "Take RidgeCV().": "BayesianRidge ARDRegression",
    SEARCH.format("LogisticRegression()", "C"): "LogisticRegressionCV",
    SEARCH.format("Lasso()", "alpha"): """
        LassoCV LassoLars LassoLarsCV LassoLarsIC Lars LarsCV OrthogonalMatchingPursuit
        OrthogonalMatchingPursuitCV""",
    SEARCH.format("ElasticNet()", "alpha"): """
        ElasticNetCV MultiTaskLasso MultiTaskLassoCV MultiTaskElasticNet MultiTaskElasticNetCV""",
    "Take PCA().": """
        IncrementalPCA FastICA FactorAnalysis KernelPCA SparsePCA MiniBatchSparsePCA DictionaryLearning
        MiniBatchDictionaryLearning Isomap LocallyLinearEmbedding TSNE""",
    "Take Ridge() behind PCA().": "PLSRegression PLSCanonical PLSSVD CCA",
    "Take TruncatedSVD().": """
        NMF MiniBatchNMF LatentDirichletAllocation GaussianRandomProjection SparseRandomProjection""",
    'Take QuantileTransformer(output_distribution="normal").': "PowerTransformer",
    "Take KBinsDiscretizer() or PolynomialFeatures().": "SplineTransformer",
    "Take SimpleImputer(), perhaps with add_indicator=True.": "KNNImputer IterativeImputer MissingIndicator",
    "Take OneHotEncoder(), with max_categories= for long tails.": "TargetEncoder",
    "Take HashingVectorizer().": "CountVectorizer TfidfVectorizer TfidfTransformer DictVectorizer",
    "Leave it out: classifiers take labels as they are, text too.": "LabelEncoder LabelBinarizer",
    "Take VarianceThreshold(), or learn with Lasso().": """
        SelectKBest SelectPercentile SelectFpr SelectFdr SelectFwe GenericUnivariateSelect""",
    "Take RBFSampler().": "Nystroem SkewedChi2Sampler PolynomialCountSketch",
}
# These call `fit` of other estimators, so they work with a tk.Distributed inside.
SEARCHES = "GridSearchCV RandomizedSearchCV HalvingGridSearchCV HalvingRandomSearchCV"
META_ESTIMATORS = f"""{SEARCHES}
    CalibratedClassifierCV OneVsRestClassifier OneVsOneClassifier OutputCodeClassifier RFE RFECV
    SelectFromModel SequentialFeatureSelector BaggingClassifier BaggingRegressor VotingClassifier
    VotingRegressor StackingClassifier StackingRegressor TransformedTargetRegressor MultiOutputClassifier
    MultiOutputRegressor ClassifierChain RegressorChain SelfTrainingClassifier RANSACRegressor
    FixedThresholdClassifier TunedThresholdClassifierCV"""
SORTS = {
    "classifier": ClassifierMixin,
    "regressor": RegressorMixin,
    "clustering": ClusterMixin,
    "transformer": TransformerMixin,
}


def nearest(estimator: Any, known: Collection[type]) -> str:
    """The cure for an estimator that no learner fits.

    Args:
        estimator: the estimator, or its class.
        known: the classes that learners fit.

    >>> from sklearn.decomposition import IncrementalPCA
    >>> nearest(IncrementalPCA(), [])
    'Take PCA().'
    """
    if inspect.isclass(estimator):
        return f"It is a class: write {estimator.__name__}()."
    kind = type(estimator)
    if kind.__name__ in META_ESTIMATORS.split():
        return _inside(estimator, known)
    if kind.__name__ == "Distributed":
        return "Give the estimator inside of it, or call its own fit(X, y)."
    for parent in kind.__mro__:  # advice for LogisticRegressionCV comes before that for its parent
        if parent in known:
            name = parent.__name__
            return f"A subclass may fit in another way than {name}, so only {name}() itself is taken."
        for advice, names in ADVICE.items():
            if parent.__name__ in names.split():
                return advice
    if any(parent.__module__.startswith("torch.nn") for parent in kind.__mro__):
        return "A module of torch is trained as tk.Torch(build=lambda: (module, optimizer), loss=...)."
    if not isinstance(estimator, BaseEstimator):
        return "Take an unfitted scikit-learn estimator, or a learner."
    return _alike(estimator, known)


def _inside(estimator: Any, known: Collection[type]) -> str:
    """How to distribute what a meta-estimator fits."""
    name = type(estimator).__name__
    parts = [part for _, part in getattr(estimator, "estimators", None) or ()]
    parts = [
        part for part in parts or [getattr(estimator, "estimator", None)] if isinstance(part, BaseEstimator)
    ]
    if parts and all(type(part).__name__ == "Distributed" for part in parts):
        return "What it fits is distributed already: call its own fit(X, y)."
    for part in parts:
        if type(part) not in known and type(part).__name__ not in ("Distributed", *META_ESTIMATORS.split()):
            inner = type(part).__name__
            return f"It would work around tk.Distributed(...), but {inner} cannot be. {nearest(part, known)}"
    inner = f"tk.Distributed({f'{type(parts[0]).__name__}()' if parts else '...'})"
    inner = f'[("name", {inner}), ...]' if hasattr(estimator, "estimators") else inner
    renamed = " Its parameters are called estimator__C and the like then." if name in SEARCHES.split() else ""
    return f"Put tk.Distributed inside: {name}({inner}, ...).fit(X, y).{renamed}"


def _alike(estimator: BaseEstimator, known: Collection[type]) -> str:
    """All known classes of the estimator's own sort."""
    for sort, mixin in SORTS.items():
        if isinstance(estimator, mixin):
            same = sorted(cls.__name__ for cls in known if issubclass(cls, mixin))
            return f"Take a {sort} out of {', '.join(same)}." if same else f"No {sort} is there yet."
    return f"Take one of {', '.join(sorted(cls.__name__ for cls in known))}."

"""What to take instead of an estimator that no learner fits."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

from sklearn.base import BaseEstimator, ClassifierMixin, ClusterMixin, RegressorMixin, TransformerMixin

KERNEL = "It keeps rows, which must not leave their nodes. Take {} behind RBFSampler()."
TREES = "Trees are not there yet. Take {} behind KBinsDiscretizer(), which makes steps as trees do."
NETWORKS = "Networks are not there yet. Take {} behind PolynomialFeatures() or RBFSampler()."
SEARCHED = "Take {} and choose its {} with GridSearchCV(tk.Distributed(...), ...)."

ADVICE = {  # what to take: instead of what
    KERNEL.format("LinearSVC() or LogisticRegression()"): """
        SVC NuSVC KNeighborsClassifier RadiusNeighborsClassifier GaussianProcessClassifier
        LabelPropagation LabelSpreading""",
    KERNEL.format("Ridge() or HuberRegressor()"): """
        SVR NuSVR KNeighborsRegressor RadiusNeighborsRegressor GaussianProcessRegressor KernelRidge""",
    TREES.format("LogisticRegression()"): """
        DecisionTreeClassifier ExtraTreeClassifier RandomForestClassifier ExtraTreesClassifier
        GradientBoostingClassifier HistGradientBoostingClassifier AdaBoostClassifier XGBClassifier
        LGBMClassifier""",
    TREES.format("Ridge()"): """
        DecisionTreeRegressor ExtraTreeRegressor RandomForestRegressor ExtraTreesRegressor
        GradientBoostingRegressor HistGradientBoostingRegressor AdaBoostRegressor XGBRegressor
        LGBMRegressor""",
    NETWORKS.format("LogisticRegression()"): "MLPClassifier",
    NETWORKS.format("Ridge()"): "MLPRegressor",
    "Take LogisticRegression(), or LinearSVC().": """
        Perceptron SGDClassifier PassiveAggressiveClassifier OneVsRestClassifier OneVsOneClassifier
        OutputCodeClassifier CalibratedClassifierCV""",
    "Take LinearDiscriminantAnalysis() or GaussianNB().": """
        RidgeClassifier RidgeClassifierCV NearestCentroid QuadraticDiscriminantAnalysis""",
    "Take HuberRegressor() or Ridge().": """
        SGDRegressor PassiveAggressiveRegressor LinearSVR RANSACRegressor TheilSenRegressor
        QuantileRegressor""",
    "Take RidgeCV().": "BayesianRidge ARDRegression",
    SEARCHED.format("LogisticRegression()", "C"): "LogisticRegressionCV",
    SEARCHED.format("Lasso()", "alpha"): """
        LassoCV LassoLars LassoLarsCV LassoLarsIC Lars LarsCV OrthogonalMatchingPursuit
        OrthogonalMatchingPursuitCV""",
    SEARCHED.format("ElasticNet()", "alpha"): """
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
        SelectKBest SelectPercentile SelectFpr SelectFdr SelectFwe GenericUnivariateSelect RFE RFECV
        SelectFromModel SequentialFeatureSelector""",
    "Take RBFSampler().": "Nystroem SkewedChi2Sampler PolynomialCountSketch",
    "Put tk.Distributed(...) inside it, around the estimator that is searched or combined.": """
        GridSearchCV RandomizedSearchCV HalvingGridSearchCV HalvingRandomSearchCV StackingClassifier
        StackingRegressor VotingClassifier VotingRegressor BaggingClassifier BaggingRegressor
        TransformedTargetRegressor MultiOutputClassifier MultiOutputRegressor ClassifierChain
        RegressorChain""",
}
SORTS = {
    "classifier": ClassifierMixin,
    "regressor": RegressorMixin,
    "clustering": ClusterMixin,
    "transformer": TransformerMixin,
}


def nearest(estimator: Any, known: Collection[type]) -> str:
    """The cure for an estimator that no learner fits.

    Args:
        estimator: what was asked for.
        known: the classes that learners fit.

    >>> from sklearn.decomposition import IncrementalPCA
    >>> nearest(IncrementalPCA(), [])
    'Take PCA().'
    """
    if inspect.isclass(estimator):
        return f"It is a class: write {estimator.__name__}()."
    kind = type(estimator)
    parents = [parent.__name__ for parent in kind.__mro__[1:] if parent in known]
    if parents:
        return f"A subclass may fit in another way than {parents[0]}, so only {parents[0]}() itself is taken."
    for advice, names in ADVICE.items():
        if kind.__name__ in names.split():
            return advice
    if any(parent.__module__.startswith("torch.nn") for parent in kind.__mro__):
        return "A module of torch is trained as tk.Torch(build=lambda: (module, optimizer), loss=...)."
    if not isinstance(estimator, BaseEstimator):
        return "Take an unfitted scikit-learn estimator, or a learner."
    return _alike(estimator, known)


def _alike(estimator: BaseEstimator, known: Collection[type]) -> str:
    """All classes of the estimator's own sort."""
    for sort, mixin in SORTS.items():
        if isinstance(estimator, mixin):
            same = sorted(cls.__name__ for cls in known if issubclass(cls, mixin))
            return f"Take a {sort} out of {', '.join(same)}." if same else f"No {sort} is there yet."
    return f"Take one of {', '.join(sorted(cls.__name__ for cls in known))}."

"""Why a fitted model predicts what it predicts.

>>> import numpy as np, talkoot as tk
>>> from sklearn.tree import DecisionTreeRegressor
>>> model = DecisionTreeRegressor().fit(np.array([[0.0], [1.0]]), [1.0, 3.0])
>>> tk.explain.contributions(model, np.array([[1.0]])).values.tolist()
[[1.0]]
"""

from __future__ import annotations

from talkoot.api.explain.contributions import Contributions, contributions
from talkoot.api.explain.dependence import Dependence, dependence
from talkoot.api.explain.importance import Importance, importance
from talkoot.api.explain.reasons import Reason, Reasons

__all__ = [
    "Contributions",
    "Dependence",
    "Importance",
    "Reason",
    "Reasons",
    "contributions",
    "dependence",
    "importance",
]

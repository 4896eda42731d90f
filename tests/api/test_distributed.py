from __future__ import annotations

from typing import Any

from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from talkoot.api.distributed import Distributed


@parametrize_with_checks([Distributed(StandardScaler(), nodes=2), Distributed(Ridge(), nodes=3)])
def test_scikit_learns_own_checks_pass(estimator: Any, check: Any) -> None:
    check(estimator)

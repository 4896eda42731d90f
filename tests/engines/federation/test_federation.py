"""A federation of real programs on this machine: the same answer as on the pooled rows, whoever is killed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from programs import Federated, federated
from sklearn.linear_model import LogisticRegression

import talkoot as tk

rng = np.random.default_rng(0)
X = rng.normal(size=(240, 4))
y = (X @ [1.0, -1.0, 0.5, 0.0] + rng.normal(size=240) > 0).astype(int)
ROWS = {name: (X[part::3], y[part::3]) for part, name in enumerate(("bergen", "oslo", "turku"))}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federated]:
    with federated(tmp_path_factory.mktemp("three"), ROWS) as made:
        yield made


def here() -> np.ndarray:
    """The answer of this process alone."""
    return np.asarray(tk.fit(LogisticRegression(), ROWS, on=tk.Inline()).model.coef_)


def test_the_answer_is_that_of_the_pooled_rows(three: Federated) -> None:
    fit = tk.fit(LogisticRegression(), tk.dataset("toy"), "y", on=tk.Federation(three.researcher))
    np.testing.assert_allclose(fit.model.coef_, here(), rtol=1e-9)
    assert fit.schema.rows == len(X)
    assert [outcome.arrived for outcome in fit.history] == [("bergen", "oslo", "turku")] * len(fit.history)

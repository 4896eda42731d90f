"""The private names of scikit-learn's trees are the installed version's; what is no tree is refused."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from boosted import table
from sklearn.tree import DecisionTreeRegressor
from sklearn.tree._tree import NODE_DTYPE

from talkoot.learners.trees import tree_private as private

CAUSE = f"scikit-learn {sklearn.__version__} moved it; mend learners/trees/tree_private.py"
X, Y = table(80, missing=0)


def test_a_tree_is_what_its_arrays_say() -> None:
    known = {*private.WHOLE, *private.REAL}
    assert known == set(NODE_DTYPE.names), CAUSE
    tree = DecisionTreeRegressor(max_depth=4).fit(X, np.stack([Y, -Y], axis=1))
    again = private.tree_of_plain(private.plain_tree(tree), 5)
    for name, value in tree.tree_.__getstate__().items():
        if name != "nodes":
            np.testing.assert_array_equal(again.__getstate__()[name], value, err_msg=CAUSE)
    np.testing.assert_array_equal(
        again.predict(X.astype(np.float32)), tree.tree_.predict(X.astype(np.float32))
    )


@pytest.mark.parametrize(
    ("array", "place", "value"),
    [
        ("whole", (0, 0), 0),  # a circle
        ("whole", (0, 0), -2),
        ("whole", (0, 1), 10_000),
        ("whole", (0, 1), 1),  # both branches are one
        ("whole", (0, 2), 5),
        ("whole", (0, 2), -2),
        ("whole", (-1, 1), 1),  # a leaf with a branch
        ("classes", (0,), 2),
        ("classes", (0,), 0),
    ],
)
def test_a_tree_that_leads_nowhere_is_refused(array: str, place: tuple[int, ...], value: int) -> None:
    plain = private.plain_tree(DecisionTreeRegressor(max_depth=3).fit(X, Y))
    private.tree_of_plain(plain, 5)
    plain[array] = plain[array].copy()
    plain[array][place] = value
    with pytest.raises(ValueError, match="leads nowhere"):
        private.tree_of_plain(plain, 5)


@pytest.mark.parametrize(
    "change",
    [
        {"features": 4},
        {"classes": np.ones(3, dtype=np.int64)},
        {"classes": np.ones(0, dtype=np.int64)},
        {"whole": np.zeros((0, 5), dtype=np.int32)},
        {"real": np.zeros((3, 3))},
        {"values": np.zeros((3, 1, 1))},
        {"values": [1.0]},
        {"more": 1},
    ],
    ids=str,
)
def test_a_tree_whose_arrays_do_not_fit_together_is_refused(change: dict[str, object]) -> None:
    plain = private.plain_tree(DecisionTreeRegressor(max_depth=3).fit(X, Y))
    with pytest.raises(ValueError, match=r"leads nowhere|lacks its nodes"):
        private.tree_of_plain(plain | change, 5)
    with pytest.raises(ValueError, match="lacks its nodes"):
        private.tree_of_plain(None, 5)
    with pytest.raises(ValueError, match="leads nowhere"):
        private.tree_of_plain(plain, None)

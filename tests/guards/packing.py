"""What the tests of codecs share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from talkoot import Inline, Plan, Update, rounds, shards, weigh
from talkoot.core.context import Ctx
from talkoot.core.engine import Run
from talkoot.core.run import run
from talkoot.core.transform import Transform
from talkoot.core.update import total
from talkoot.data.schema import agree
from talkoot.guards.codec import Codec, Residuals
from talkoot.testing.toys import Walk

FLOATS = st.floats(-1e6, 1e6, width=32)
ARRAYS = hnp.arrays(
    st.sampled_from((np.float32, np.float64)), hnp.array_shapes(max_dims=2, max_side=20), elements=FLOATS
)
ROWS = np.random.default_rng(7).normal(size=(90, 300)) * np.logspace(-2, 2, 300)


def one(value: np.ndarray) -> Update:
    return Update(values={"w": value}, weight=1.0)


def sent(codec: Codec, value: np.ndarray, lost: Residuals | None = None) -> tuple[Update, Residuals | None]:
    return codec.encode(one(value), lost, Ctx(node="a"))


def decoded(codec: Codec, updates: Sequence[Update]) -> np.ndarray:
    value: np.ndarray = codec.decode(total(updates), None, Ctx())[0].values["w"]
    return value


def walked(chain: Sequence[Transform], count: int = 12) -> Run:
    """Three nodes walk to the mean of their rows."""
    schema, bound = agree(shards(ROWS, nodes=3), Inline())
    plan = Plan(Walk(), chain=[weigh(), *chain], sync=rounds(count))
    return run(plan, bound, Inline(), schema=schema)

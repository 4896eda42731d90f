"""A plan as data: what is learned, the chain, the merge, the outer step, the meetings and the seed, by name.

The names are those of public types and of the catalogue of estimators, so a plan that was read back is built
by the same constructors as one that was typed, and refused by the same checks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sklearn.base import BaseEstimator

from talkoot.core.errors import DataError, PlanError
from talkoot.core.merge import Gather, Median, Merge, Sum, TrimmedMean
from talkoot.core.outer import Accumulate, Adam, Add, Nesterov, Outer
from talkoot.core.plan import Plan
from talkoot.core.sync import EveryStep, Rounds, Sync
from talkoot.core.transform import Transform
from talkoot.formats import estimators
from talkoot.formats.frames import from_bytes, to_bytes
from talkoot.formats.values import Decoder, Encoder
from talkoot.guards.quantize import Quantize
from talkoot.guards.topk import TopK
from talkoot.guards.weigh import Weigh
from talkoot.learners import learner_for

VERSION = 1
TYPES: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        Weigh,
        Quantize,
        TopK,
        Sum,
        Gather,
        Median,
        TrimmedMean,
        Add,
        Accumulate,
        Nesterov,
        Adam,
        Rounds,
        EveryStep,
    )
}
PARTS = ("merge", "outer", "sync")


def plan_to_data(plan: Plan, encoder: Encoder | None = None) -> dict[str, Any]:
    """A plan as plain data. What is the learner's own choice is left out.

    Raises:
        PlanError: a part of it cannot travel; it is named.

    >>> import talkoot as tk
    >>> from sklearn.linear_model import Ridge
    >>> data = plan_to_data(tk.Plan(tk.learner_for(Ridge(alpha=2.0)), seed=7))
    >>> data["learner"]["params"]["alpha"], plan_from_data(data).seed
    (2.0, 7)
    """
    encoder = encoder or Encoder(types=TYPES, other=estimators.encode)
    estimator = getattr(plan.learner, "estimator", None)
    if estimator is None:
        raise PlanError(f"{type(plan.learner).__name__} has no name in the catalogue, so it cannot travel")
    own = Plan(plan.learner, chain=plan.chain, sync=plan.sync)
    named = {name: getattr(plan, name) for name in PARTS if getattr(plan, name) != getattr(own, name)}
    return {
        "version": VERSION,
        "learner": encoder.encode(estimator),
        "chain": [encoder.encode(link) for link in plan.chain],
        "sync": encoder.encode(plan.sync),
        "seed": plan.seed,
        **{name: encoder.encode(part) for name, part in named.items() if name != "sync"},
    }


def plan_from_data(data: Any, buffers: Sequence[memoryview] = (), *, trusted: Collection[str] = ()) -> Plan:
    """The plan that data describe.

    Args:
        data: what `plan_to_data` made.
        buffers: what its encoder left behind, for parameters that are arrays.
        trusted: import names of functions that may be imported.

    Raises:
        DataError: data that no plan makes, or names that are not trusted.
        TalkootError: what `Plan` or an estimator's learner refuses.
    """
    version = data.get("version") if isinstance(data, dict) else None
    if version != VERSION:
        raise DataError(f"this plan has version {version!r:.20}, and this Talkoot reads version {VERSION}")
    decoder = Decoder(buffers, types=TYPES, others=estimators.decoders(trusted))
    made = {name: decoder.decode(data[name]) for name in ("chain", *PARTS) if name in data}
    learner, seed = decoder.decode(data.get("learner")), data.get("seed")
    if not isinstance(learner, BaseEstimator) or type(seed) is not int:
        raise DataError("a plan needs an estimator and a whole number as its seed")
    for name, kind in (("merge", Merge), ("outer", Outer), ("sync", Sync)):
        if not isinstance(made.get(name), kind | None):
            raise DataError(f"the plan's {name} is a {type(made[name]).__name__}")
    if not all(isinstance(link, Transform) for link in made.get("chain", ())):
        raise DataError("the plan's chain holds something that is no transform")
    return Plan(learner_for(learner), **made, seed=seed)


def plan_to_bytes(plan: Plan) -> bytes:
    """A plan as one frame; the same plan gives the same bytes on every machine.

    Raises:
        PlanError: a part of it cannot travel; it is named.
    """
    encoder = Encoder(types=TYPES, other=estimators.encode)
    return to_bytes(plan_to_data(plan, encoder), encoder.buffers)


def plan_from_bytes(frame: bytes, *, trusted: Collection[str] = ()) -> Plan:
    """The plan of a frame; see `plan_from_data`."""
    data, buffers = from_bytes(frame)
    return plan_from_data(data, buffers, trusted=trusted)

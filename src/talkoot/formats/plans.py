"""A plan as data: what is learned, the chain, the merge, the outer step, the meetings and the seed, by name.

The names are those of public types, of the catalogue of estimators, and of what both sides have registered.
Reading calls the same constructors as typing does, so the same checks refuse a plan.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from functools import cache, partial
from typing import Any

from talkoot.core.engine import View
from talkoot.core.errors import DataError, PlanError, TalkootError
from talkoot.core.learner import Learner
from talkoot.core.merge import Gather, Median, Merge, Sum, TrimmedMean
from talkoot.core.outer import Accumulate, Adam, Add, Nesterov, Outer
from talkoot.core.plan import Plan, own_outer
from talkoot.core.shard import UNKNOWN, Schema
from talkoot.core.sync import EveryStep, Rounds, Sync
from talkoot.core.transform import Transform
from talkoot.data.contract.profile import Profile
from talkoot.data.contract.shared_rows import SealedRows, SharedRows
from talkoot.data.inventory import Inventory
from talkoot.data.totals import Totals
from talkoot.formats import estimators, names, trees
from talkoot.formats.describe import describe
from talkoot.formats.frames import from_bytes, to_bytes
from talkoot.formats.names import Registered, by_name, registered_types
from talkoot.formats.values import Decoder, Encoder, Types
from talkoot.guards.fixed import NarrowFixed, WideFixed
from talkoot.guards.mask.mask import Mask
from talkoot.guards.quantize import Quantize
from talkoot.guards.topk import TopK
from talkoot.guards.weigh import Weigh
from talkoot.learners import catalogue, learner_for

VERSION = 1
TYPES = by_name(
    (
        Weigh,
        Quantize,
        TopK,
        WideFixed,
        NarrowFixed,
        Mask,
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
        Schema,
        Inventory,
        Totals,
        Profile,
        SealedRows,
        SharedRows,
    )
)
PARTS = ("merge", "outer", "sync")


@cache
def _travelling() -> Types:
    """The types that may travel: also queries of comparisons, which load scikit-learn and so come late."""
    from talkoot.learners.held_out.folds import Folds
    from talkoot.learners.held_out.scores import FoldCounts, HeldOutScores
    from talkoot.learners.held_out.site_scores import SiteScores
    from talkoot.learners.held_out.sums import SumsByFold

    return {**TYPES, **by_name((Folds, FoldCounts, SumsByFold, HeldOutScores, SiteScores))}


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
    encoder = encoder or _encoder({})
    own = {"merge": plan.learner.merge(), "outer": own_outer(plan.learner, plan.sync)}
    return {
        "version": VERSION,
        "learner": encoder.encode(plan.learner),
        "chain": encoder.encode([*plan.chain.links]),
        "sync": encoder.encode(plan.sync),
        "seed": plan.seed,
        **({} if plan.schema is UNKNOWN else {"schema": encoder.encode(plan.schema)}),
        **{name: encoder.encode(part) for name in own if (part := getattr(plan, name)) != own[name]},
    }


def plan_from_data(
    data: Any,
    buffers: Sequence[memoryview] = (),
    *,
    trusted: Collection[str] = (),
    registered: Registered | None = None,
) -> Plan:
    """The plan that data describe.

    Args:
        data: what `plan_to_data` made.
        buffers: what its encoder left behind, for parameters that are arrays.
        trusted: import names of functions that may be imported.
        registered: what may be in the plan besides, by name.

    Raises:
        DataError: data that no plan makes, or names that are neither trusted nor registered.
        TalkootError: what `Plan` or an estimator's learner refuses.
    """
    version = data.get("version") if isinstance(data, dict) else None
    if version != VERSION:
        raise DataError(f"this plan has version {version!r:.20}, and this Talkoot reads version {VERSION}")
    registered = registered or {}
    others = {
        **estimators.decoders(trusted),
        "registered": lambda data, decoder: names.decode(data, registered),
    }
    decoder = Decoder(buffers, types={**_travelling(), **registered_types(registered)}, others=others)
    made = {name: decoder.decode(data[name]) for name in ("chain", "schema", *PARTS) if name in data}
    learner, seed = decoder.decode(data.get("learner")), data.get("seed")
    known = isinstance(learner, Learner) or trees.is_estimator(learner)
    if not known or type(seed) is not int:
        raise DataError("a plan needs an estimator or a learner, and a whole number as its seed")
    for name, kind in (("merge", Merge), ("outer", Outer), ("sync", Sync)):
        if not isinstance(made.get(name), kind | None):
            raise DataError(f"the plan's {name} is a {type(made[name]).__name__}")
    schema = made.pop("schema", UNKNOWN)
    if not isinstance(schema, Schema):
        raise DataError(f"the plan's schema is a {type(schema).__name__}")
    if not all(isinstance(link, Transform) for link in made.get("chain", ())):
        raise DataError("the plan's chain holds something that is no transform")
    plan = Plan(learner_for(learner), **made, seed=seed)
    return plan if schema is UNKNOWN else plan.agreed(schema)


def plan_to_bytes(plan: Plan, *, registered: Registered | None = None) -> bytes:
    """A plan as one frame; the same plan gives the same bytes on every machine.

    Args:
        plan: the plan.
        registered: what may be in it besides, by name: dataclasses of yours, which travel as name and fields,
            and objects such as a `tk.Torch`, which travel as a name that the reader has registered as well.

    Raises:
        PlanError: a part of it cannot travel; it is named.
    """
    encoder = _encoder(registered or {})
    return to_bytes(plan_to_data(plan, encoder), encoder.buffers)


def plan_from_bytes(
    frame: bytes, *, trusted: Collection[str] = (), registered: Registered | None = None
) -> Plan:
    """The plan of a frame; see `plan_from_data`."""
    data, buffers = from_bytes(frame)
    return plan_from_data(data, buffers, trusted=trusted, registered=registered)


def placement_to_bytes(
    plan: Plan, view: View | None = None, *, registered: Registered | None = None
) -> bytes:
    """A plan, and how nodes look at their rows, as one frame: what `Nodes.place` is given.

    Raises:
        PlanError: a part of it cannot travel; it is named.
    """
    from talkoot.formats.views import TYPES as VIEWS
    from talkoot.formats.views import view_to_data

    encoder = _encoder(registered or {})
    data = {"plan": plan_to_data(plan, encoder)}
    seen = Encoder(types=VIEWS, buffers=encoder.buffers)
    return to_bytes({**data, "view": view_to_data(view, seen)}, encoder.buffers)


def placement_from_bytes(
    frame: bytes, *, trusted: Collection[str] = (), registered: Registered | None = None
) -> tuple[Plan, View | None]:
    """The plan and the view of a frame; see `plan_from_data`."""
    from talkoot.formats.views import TYPES as VIEWS
    from talkoot.formats.views import view_from_data

    data, buffers = from_bytes(frame)
    if not isinstance(data, dict):
        raise DataError("this is no plan with a view")
    view = view_from_data(data.get("view"), Decoder(buffers, types=VIEWS))
    return plan_from_data(data.get("plan"), buffers, trusted=trusted, registered=registered), view


def plan_digest(plan: Plan) -> str:
    """Twelve hexadecimal digits that name all that a plan does, also where parts of it cannot travel.

    What has no name that it is imported by, such as a lambda, is described: its code, its defaults and the
    values that it uses.

    >>> import talkoot as tk
    >>> from sklearn.linear_model import Ridge
    >>> one, same, other = (tk.Plan(tk.learner_for(Ridge(alpha=a))) for a in (1.0, 1.0, 2.0))
    >>> plan_digest(one) == plan_digest(same) != plan_digest(other)
    True
    """
    encoder = Encoder(types=TYPES, other=_described)
    data = plan_to_data(plan.agreed(UNKNOWN), encoder)  # what the nodes turn out to have is no part of it
    return _digest(data, encoder)


def part_digest(part: Any) -> str:
    """The digest of one part of a plan, such as its merge, or of a list of them; see `plan_digest`.

    >>> import talkoot as tk
    >>> part_digest(tk.Nesterov()) == part_digest(tk.Nesterov(lr=0.7)) != part_digest(tk.Nesterov(lr=0.1))
    True
    """
    encoder = Encoder(types=TYPES, other=_described)
    return _digest(encoder.encode(part), encoder)


def _digest(data: Any, encoder: Encoder) -> str:
    return hashlib.sha256(to_bytes(data, encoder.buffers)).hexdigest()[:12]


def _encoder(registered: Registered) -> Encoder:
    types = {**_travelling(), **registered_types(registered)}
    return Encoder(types=types, other=partial(_named, registered=registered))


def _named(value: Any, encoder: Encoder, registered: Registered) -> Any:
    """Data of what is registered, of the catalogue's learners, and of what `estimators` knows."""
    if (data := names.encode(value, registered)) is not None:
        return data
    if not isinstance(value, Learner | Transform | Merge | Outer | Sync):
        return estimators.encode(value, encoder)
    if isinstance(value, Learner) and is_in_catalogue(value):
        return estimators.encode(getattr(value, "estimator", None), encoder)
    raise PlanError(
        f"{type(value).__name__} is no part that Talkoot knows, so it cannot travel", cure=names.REGISTER
    )


def _described(value: Any, encoder: Encoder) -> Any:
    """As `_named`; what cannot travel is described in text."""
    try:
        data = _named(value, encoder, {})
    except TalkootError:
        data = None
    return data or {"$": "described", "lines": [list(line) for line in describe("it", value)]}


def is_in_catalogue(learner: Any) -> bool:
    """Whether a learner is the one that the catalogue has for its estimator."""
    estimator = getattr(learner, "estimator", None)
    known = trees.is_estimator(estimator) and type(estimator) in catalogue()
    return known and type(learner_for(estimator)) is learner.catalogued

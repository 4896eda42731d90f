"""`tk.drift`: how a stream is watched."""

from __future__ import annotations

from typing import Literal

from talkoot.core.errors import PlanError
from talkoot.stream.drift.detector import Detector
from talkoot.stream.drift.detectors import ADWIN
from talkoot.stream.drift.estimate import Estimate
from talkoot.stream.drift.features import FeatureDrift
from talkoot.stream.drift.monitor import Monitor
from talkoot.stream.drift.reactions import Alert, Boost, Challenger, Reaction, Reset, RollBack

NAMED: dict[str, type[Reaction]] = {
    "alert": Alert, "boost": Boost, "reset": Reset, "challenger": Challenger, "roll back": RollBack,
}  # fmt: skip


def drift(
    reaction: Reaction | Literal["alert", "boost", "reset", "challenger", "roll back"] = "alert",
    *,
    detector: Detector | None = None,
    features: FeatureDrift | bool = True,
    estimate: Estimate | bool = True,
) -> Monitor:
    """How a stream is watched for change, and what to do about it.

    The default raised no false alarm in 4 million stable rows (ten seeds of 400,000 at an error of .25). It
    found .35 within 1,000 rows where the error jumped, and within 11,000 rows where it rose over 20,000.

    Args:
        reaction: when the loss has risen: "alert" reports only; "boost" learns faster for a while; "reset"
            begins with a new model; "challenger" learns a second one and promotes it when it is surely
            better; "roll back" goes back to how all was before. Or a reaction with settings of yours.
        detector: reads the losses, which are in [0, 1]; None: `tk.ADWIN(delta=0.0005)`.
        features: whether features are watched for effects of .1 and more, or how.
        estimate: whether accuracy is estimated where labels are late, or how.

    Returns:
        Frozen settings for `tk.follow`.

    Raises:
        PlanError: there is no such reaction.

    >>> import talkoot as tk
    >>> tk.drift("boost", detector=tk.HDDM_A()).reaction
    Boost(factor=10.0, rows=2000)
    """
    if isinstance(reaction, str):
        if reaction not in NAMED:
            raise PlanError(f"there is no reaction {reaction!r}", cure=f"Take one of {', '.join(NAMED)}.")
        reaction = NAMED[reaction]()
    return Monitor(
        detector=ADWIN(delta=0.0005) if detector is None else detector,
        features=(FeatureDrift() if features else None) if isinstance(features, bool) else features,
        estimate=(Estimate() if estimate else None) if isinstance(estimate, bool) else estimate,
        reaction=reaction,
    )

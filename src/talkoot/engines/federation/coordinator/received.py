"""What a coordinator writes down of a round: the bytes that went to each site and came, and who was lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

from talkoot.core.round import Merged
from talkoot.engines.federation.link.messages import Frame, Head

LONGEST = 300  # signs of a cause


@final
@dataclass(frozen=True, slots=True, eq=False)
class UnderWay:
    """The round that is under way.

    Args:
        head: which it is.
        since: when it began, in seconds since 1970.
        out: bytes of its question, and of a plan that is new to the site, by site.
    """

    head: Head
    since: float
    out: dict[str, int] = field(default_factory=dict)


def received(head: Head, merged: Merged, answers: Mapping[str, Frame], under_way: UnderWay) -> dict[str, Any]:
    """The facts of a round that is over."""
    return {
        "round": head.index,
        "phase": head.phase,
        "since": under_way.since,
        "sites": {name: answers[name].digest.hex() for name in merged.arrived},
        "in": {name: answers[name].size for name in merged.arrived},
        "out": dict(under_way.out),
        "seconds": {name: round(seconds, 3) for name, seconds in merged.seconds.items()},
        "failed": {name: (error.cause or "")[:LONGEST] for name, error in merged.failed.items()},
    }

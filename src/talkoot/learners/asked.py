"""The state of a learner that asks its nodes once or twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

from talkoot.core.shard import Schema


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """What the nodes are asked about, and the answer once it is there.

    Args:
        schema: what the nodes agreed on.
        about: what all nodes must share before they can answer: the center of a sum, or the categories
            that are counted; None where nothing needs to be shared.
        result: the fitted estimator, when done.
        error: the rank error of the result's quantiles, where they come from sketches.
    """

    schema: Schema
    about: Any = None
    result: Any = None
    error: float | None = None

    @property
    def done(self) -> bool:
        """Whether the answer is there."""
        return self.result is not None

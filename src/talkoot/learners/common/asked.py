"""The state of a learner that asks its nodes a few times."""

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
            that are counted, or where a search for order statistics stands; None where nothing is shared.
        result: the fitted estimator, when done.
    """

    schema: Schema
    about: Any = None
    result: Any = None

    @property
    def done(self) -> bool:
        """Whether the answer is there."""
        return self.result is not None

"""What learners share that need few rounds of sums: their state, and the loop of rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

from talkoot.core.learner import Kind, SolvingLearner
from talkoot.core.shard import Schema


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """The state of a fit that takes few rounds."""

    schema: Schema  # what the nodes agreed on
    # what nodes need for this round: the center of a sum, the categories to count, the state of a search for
    # order statistics; None for nothing
    shared: Any = None
    result: Any = None  # the fitted estimator, when done

    @property
    def done(self) -> bool:
        """Whether the estimator is fitted."""
        return self.result is not None


class SumLearner(SolvingLearner):
    """A learner with a `State`: each `step` turns merged sums into the next state."""

    kind: ClassVar[Kind] = "exact"

    def question(self, model: State) -> Any:
        """What nodes need for this round."""
        return model.shared

    def finish(self, model: State) -> Any:
        """The fitted estimator."""
        return model.result

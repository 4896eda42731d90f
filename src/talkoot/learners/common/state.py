"""What learners share that need few rounds of sums: their state, and the loop of rounds."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, final

from talkoot.core.learner import Learner
from talkoot.core.outer import Outer, Solve
from talkoot.core.shard import Schema
from talkoot.core.update import Update


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """The state of a fit that takes few rounds.

    Args:
        schema: what the nodes agreed on.
        shared: what nodes need for this round: the center of a sum, the categories to count, the state of a
            search for order statistics; None for nothing.
        result: the fitted estimator, when done.
    """

    schema: Schema
    shared: Any = None
    result: Any = None

    @property
    def done(self) -> bool:
        """Whether the estimator is fitted."""
        return self.result is not None


class SumLearner(Learner):
    """A learner with a `State`: each `step` turns merged sums into the next state."""

    question_types: ClassVar[tuple[type, ...]] = (State,)

    @abstractmethod
    def step(self, model: State, update: Update) -> State:
        """The state for the next round, or with the result."""

    def outer(self) -> Outer:
        """Solve from the sums."""
        return Solve(self.step)

    def finish(self, model: State) -> Any:
        """The fitted estimator."""
        return model.result

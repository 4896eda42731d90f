"""What is learned: how rows become an update, and how the merged updates become a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.merge import Merge, Sum
from talkoot.core.outer import Outer
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update

Kind = Literal["exact", "sketched", "averaged", "bagged"]


class Learner(ABC):
    """How one kind of model is learned from many nodes. Learners are frozen values without state.

    Class attributes, or properties where they hang on the learner's parts:
        kind: "exact": the answer of one machine with all rows; "sketched": that answer within an error
            that the learner states; "averaged": nodes learn apart and are
            averaged; "bagged": the nodes' models are kept side by side.
        closed: one round of sums at the final model decides the answer, so a node can be subtracted.
        threads: `work` spends its time in kernels that release the interpreter lock.
    """

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """What the answer is to that of one machine with all rows."""

    @property
    def closed(self) -> bool:
        """Whether the sums of the last round decide the answer."""
        return False

    @property
    def threads(self) -> bool:
        """Whether `work` leaves other threads the interpreter."""
        return True

    @abstractmethod
    def init(self, schema: Schema, rng: np.random.Generator) -> Any:
        """The model that every node starts from."""

    @abstractmethod
    def work(self, model: Any, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        """On a node: read the shard, return what it says and the node's own state.

        A shard without rows gives ``Update()``, never an error. `local` is None in a node's first round
        and never leaves the node.
        """

    @abstractmethod
    def outer(self) -> Outer:
        """The outer step that this learner is made for; a plan may name another."""

    def merge(self) -> Merge:
        """How updates of this learner merge; a sum unless the learner must see each."""
        return Sum()

    def metrics(self, model: Any) -> Mapping[str, float]:
        """What is worth watching after a round, such as ``{"loss": 0.31}``."""
        del model
        return {}

    @abstractmethod
    def finish(self, model: Any) -> Any:
        """The fitted object that users take away: an estimator, a module, a booster."""

"""The contract of models that learn row by row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from talkoot.core.errors import PlanError
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.state import State

Task: TypeAlias = Literal["binary", "classes", "number", "clusters"]
Floats: TypeAlias = NDArray[np.float64]


class OnlineModel(ABC):
    """A description of a model: a frozen dataclass of settings, with methods over a `State`.

    The same rows in the same order give the same state and predictions to the last bit, however they are cut
    into batches. A row whose label is nan, or whose weight is 0, is predicted and not learned. A number that
    is not finite counts as missing.
    """

    merges: ClassVar[bool] = False
    """Whether changes of nodes' states add up; where not, predictions of the nodes' models are averaged."""

    @property
    @abstractmethod
    def task(self) -> Task:
        """What is predicted: "binary", "classes", "number" or "clusters"."""

    @property
    def needs_labels_at_once(self) -> bool:
        """Whether a row's label must be known before the next row is predicted."""
        return False

    @abstractmethod
    def start(self, layout: Layout, seed: int) -> State:
        """A state before the first row.

        Raises:
            PlanError: the model cannot learn from such rows.
        """

    @abstractmethod
    def learn(self, state: State, rows: Features, y: Floats, w: Floats | None = None) -> NDArray[Any]:
        """Learn rows in their order, in place; what was predicted for each before it was learned.

        Args:
            state: what is learned so far; changed in place, and arrays that grow are replaced in it.
            rows: the features.
            y: labels, classes as codes; nan where there is none. Clusters do not read it.
            w: weights of rows; None for 1 each.
        """

    @abstractmethod
    def predict(self, state: State, rows: Features) -> NDArray[Any]:
        """Predictions from the state as it is.

        Binary: the probability of class 1, (rows,). Classes: (rows, classes). Number: (rows,). Clusters: the
        number of the nearest, (rows,) intp.
        """

    def widen(self, state: State, classes: int) -> None:
        """Make room for classes that were never seen before, so that there are `classes`.

        Raises:
            PlanError: the model cannot have so many.
        """
        if self.task == "classes" or (self.task == "binary" and classes > 2):
            raise PlanError(
                f"{type(self).__name__} cannot learn {classes} classes",
                cure="Take a model for several classes, such as tk.online.Softmax().",
            )

    def change(self, state: State, before: State) -> State:
        """What a node learned since `before`, as arrays that add up over nodes.

        Raises:
            PlanError: changes of this model do not add up.
        """
        raise PlanError(f"changes of {type(self).__name__} do not add up over nodes")

    def apply(
        self, state: State, change: State, nodes: int, *, careful: bool = False, among: int | None = None
    ) -> State:
        """A new state: `state` and the sum of the changes of `nodes` nodes.

        `careful` takes the mean of changes where it is not exact to add them: see `merging.guarded`. Where
        other nodes bring their changes later, `among` is how many share the model: a weight is taken to
        be touched by as many of them as of these.

        Raises:
            PlanError: changes of this model do not add up.
        """
        raise PlanError(f"changes of {type(self).__name__} do not add up over nodes")

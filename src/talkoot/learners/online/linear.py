"""Linear, logistic and softmax regression by one gradient step a row."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from talkoot.core.errors import PlanError
from talkoot.learners.online.checking import Rows, checked
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.merging import by_mean, by_root, linear_apply, linear_change
from talkoot.learners.online.model import Floats, OnlineModel, Task
from talkoot.learners.online.optimisers import AdaGrad, Optimiser
from talkoot.learners.online.state import State


@dataclass(frozen=True)
class GradientModel(OnlineModel):
    """What linear models have in common: an optimiser, and weights of numbers and of hashed categories.

    Args:
        optimiser: how weights move; see `AdaGrad`, `DecayedAdaGrad`, `FTRL`, `SGD`.
        l2: how strongly each step draws the weights of the row's features towards 0.
        intercept: True: a weight as others are; a number: its own rate; False: none.
        scale: numbers (and a target that is a number) are scaled by the mean and deviation of the rows so
            far; a missing number then counts as the mean, else as 0.
        bits: categories share 2**bits weights.
    """

    merges: ClassVar[bool] = True
    optimiser: Optimiser = field(default_factory=AdaGrad)
    l2: float = 0.0
    intercept: bool | float = True
    scale: bool = True
    bits: int = 18

    def __post_init__(self) -> None:
        if not self.l2 >= 0 or not self.intercept >= 0:
            raise PlanError("l2 and the rate of the intercept are 0 or more")
        if not 1 <= self.bits <= 28:
            raise PlanError(f"a table of 2**{self.bits} weights", cure="Take 1 <= bits <= 28.")

    @property
    @abstractmethod
    def loss(self) -> int:
        """Which loss it is in `kernels.gradient`."""

    def outputs(self, layout: Layout) -> int:
        """How many lines of weights there are."""
        return 1

    def start(self, layout: Layout, seed: int) -> State:
        """Weights of 0."""
        if (self.task != "number" and layout.classes < 2) or (self.task == "binary" and layout.classes > 2):
            raise PlanError(
                f"{type(self).__name__} cannot learn {layout.classes} classes",
                cure="Take tk.online.Linear() for numbers, Logistic() for two classes, Softmax() for more.",
            )
        width = len(layout.numbers) + (1 << self.bits if layout.categories else 0) + 1
        shape = (self.outputs(layout), width)
        return {
            "weights": np.zeros(shape),
            "sums": np.zeros(shape),
            "leads": np.zeros(shape if self.optimiser.has_leads else (shape[0], 0)),
            "moments": np.zeros((3, len(layout.numbers))),
            "target": np.zeros(3),
        }

    def learn(self, state: State, rows: Features, y: Floats, w: Floats | None = None) -> NDArray[Any]:
        """Learn rows in their order, in place; what was predicted for each before it was learned.

        Raises:
            PlanError: predictions are no longer finite.
        """
        width = state["weights"].shape[1] - 1
        d = state["moments"].shape[1]
        classes = 0 if self.task == "number" else max(len(state["weights"]), 2)
        ready = checked(rows, y, w, numbers=d, categories=width > d, classes=classes)
        predicted = self._run(state, ready)
        if not np.isfinite(predicted).all():
            raise PlanError(
                f"the weights of {type(self).__name__} grew without bound",
                cure=f"Take a smaller rate than {self.optimiser.rate}, or scale=True.",
            )
        return predicted if self.task == "classes" else predicted[:, 0]

    def _run(self, state: State, ready: Rows) -> NDArray[Any]:
        from talkoot.kernels.gradient import linear

        predicted: NDArray[Any] = linear(
            *ready,
            state["weights"],
            state["sums"],
            state["leads"],
            state["moments"],
            state["target"],
            *self._settings(),
        )
        return predicted

    def _settings(self) -> tuple[Any, ...]:
        """Loss, whether numbers are scaled, l2, rate of the intercept (-1: as others) and optimiser."""
        rate = -1.0 if self.intercept is True else float(self.intercept)
        return self.loss, self.scale, float(self.l2), rate, self.optimiser.numbers()

    def predict(self, state: State, rows: Features) -> NDArray[Any]:
        """Predictions from the state as it is."""
        return self.learn(state, rows, np.full(len(rows), np.nan))

    def change(self, state: State, before: State) -> State:
        """What a node learned since `before`, as arrays that add up over nodes."""
        return linear_change(state, before)

    def apply(
        self, state: State, change: State, nodes: int, *, careful: bool = False, among: int | None = None
    ) -> State:
        """A new state: changes of weights over the root of the number of nodes that touched them."""
        share, step = (among or nodes) / nodes, by_mean if careful else by_root
        return linear_apply(
            state, change, self.optimiser, lambda total, touched: step(total, touched * share)
        )


@final
@dataclass(frozen=True)
class Linear(GradientModel):
    """Linear regression, by one step a row on the squared error.

    >>> import talkoot as tk, pyarrow as pa
    >>> from talkoot.learners.online.features import Encoder, Layout
    >>> layout = Layout(("x",))
    >>> rows = Encoder(layout).encode(pa.record_batch({"x": np.arange(2000) % 10}))
    >>> model = tk.online.Linear()
    >>> state = model.start(layout, seed=0)
    >>> _ = model.learn(state, rows, 3 * rows.numbers[:, 0] + 1)
    >>> model.predict(state, rows[4:5]).round(1)
    array([13.])
    """

    @property
    def task(self) -> Task:
        """What is predicted."""
        return "number"

    @property
    def loss(self) -> int:
        """Which loss it is in `kernels.gradient`."""
        return 1


@final
@dataclass(frozen=True)
class Logistic(GradientModel):
    """Logistic regression for two classes, by one step a row on the log-loss.

    >>> import talkoot as tk
    >>> tk.online.Logistic(tk.online.SGD(rate=0.1), l2=1e-6)
    Logistic(optimiser=SGD(rate=0.1), l2=1e-06, intercept=True, scale=True, bits=18)
    """

    @property
    def task(self) -> Task:
        """What is predicted."""
        return "binary"

    @property
    def loss(self) -> int:
        """Which loss it is in `kernels.gradient`."""
        return 0


@final
@dataclass(frozen=True)
class Softmax(GradientModel):
    """Softmax regression for several classes, which may grow in number while it learns.

    >>> import talkoot as tk
    >>> tk.online.Softmax().task
    'classes'
    """

    @property
    def task(self) -> Task:
        """What is predicted."""
        return "classes"

    @property
    def loss(self) -> int:
        """Which loss it is in `kernels.gradient`."""
        return 2

    def outputs(self, layout: Layout) -> int:
        """A line of weights for each class."""
        return layout.classes

    def widen(self, state: State, classes: int) -> None:
        """New classes begin with weights of 0."""
        for name in ("weights", "sums", "leads"):
            more = max(classes - len(state[name]), 0)
            state[name] = np.pad(state[name], ((0, more), (0, 0)))

"""How a merged update is put back into the model: deterministic functions of what they are given.

`Add`, `Nesterov` and `Adam` take models that are mappings of arrays and updates that are differences:
a node says where it wants the model to go. A leaf that nobody sent stays as it is, and so does what the
step remembers of it; a leaf named ``buffer:...`` is a statistic, whose mean is added and no more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, final

from talkoot.core.update import BUFFER, Array, Update

Params = Mapping[str, Array]


class Outer(ABC):
    """The step that turns (model, merged update, state) into the next model and state.

    Class attributes:
        ends: the step knows when it has reached its goal; else the sync must set a limit.
    """

    ends: ClassVar[bool] = False

    def init(self, model: Any) -> Any:
        """The state before the first round; None for steps without state."""
        return None

    @abstractmethod
    def apply(self, model: Any, update: Update, state: Any) -> tuple[Any, Any]:
        """The next model and state; pure."""

    def done(self, state: Any) -> bool:
        """Whether the step has reached its goal and no further round is needed."""
        return False


@final
@dataclass(frozen=True, slots=True)
class Add(Outer):
    """model + lr * update: federated averaging when the update is a mean of differences.

    >>> import numpy as np
    >>> model, _ = Add(lr=0.5).apply({"w": np.array([1.0])}, Update(values={"w": np.array([4.0])}), None)
    >>> model["w"].tolist()
    [3.0]
    """

    lr: float = 1.0

    def apply(self, model: Params, update: Update, state: None) -> tuple[Params, None]:
        """Add what arrived."""
        sent = _trained(model, update)
        return {**_with_buffers(model, update), **{k: model[k] + self.lr * g for k, g in sent.items()}}, None


@final
@dataclass(frozen=True, slots=True)
class Accumulate(Outer):
    """decay * model + update: running sums that forget, for streams. The first update is the model.

    >>> import numpy as np
    >>> model, _ = Accumulate(0.5).apply({"n": np.array([4.0])}, Update(values={"n": np.array([1.0])}), None)
    >>> model["n"].tolist()
    [3.0]
    """

    decay: float = 1.0

    def apply(self, model: Params, update: Update, state: None) -> tuple[Params, None]:
        """Decay every sum, then add what arrived."""
        names = dict.fromkeys((*model, *update.values))
        return {k: self._sum(model.get(k), update.values.get(k)) for k in names}, None

    def _sum(self, old: Array, new: Array) -> Array:
        if old is None:
            return new
        return self.decay * old if new is None else self.decay * old + new


@final
@dataclass(frozen=True, slots=True)
class Nesterov(Outer):
    """SGD with Nesterov momentum on the mean difference: the outer step of DiLoCo.

    With g the negated update: v <- momentum v + g; model <- model - lr (g + momentum v), as
    torch.optim.SGD(nesterov=True). Source: Douillard et al. 2023, arXiv:2311.08105.

    Args:
        lr: outer learning rate.
        momentum: share of the old velocity that remains.

    >>> import numpy as np
    >>> outer, model = Nesterov(lr=1.0, momentum=0.5), {"w": np.array([0.0])}
    >>> model, speed = outer.apply(model, Update(values={"w": np.array([2.0])}), outer.init(model))
    >>> model["w"].tolist()
    [3.0]
    """

    lr: float = 0.7
    momentum: float = 0.9

    def init(self, model: Params) -> Params:
        """A velocity of zero for each parameter."""
        return {k: v * 0.0 for k, v in _parameters(model)}

    def apply(self, model: Params, update: Update, state: Params) -> tuple[Params, Params]:
        """One momentum step."""
        steps = _trained(model, update)
        speed = {k: self.momentum * state[k] + g for k, g in steps.items()}
        moved = {k: model[k] + self.lr * (g + self.momentum * speed[k]) for k, g in steps.items()}
        return {**_with_buffers(model, update), **moved}, {**state, **speed}


@final
@dataclass(frozen=True, slots=True)
class Moments:
    """Adam's running means: of the gradient, of its square, and the number of steps of each parameter."""

    first: Params
    second: Params
    steps: Mapping[str, int]


@final
@dataclass(frozen=True, slots=True)
class Adam(Outer):
    """Adam on the mean difference: FedAdam.

    Sources: Kingma & Ba, arXiv:1412.6980; as a server step, Reddi et al., arXiv:2003.00295.

    Args:
        lr: outer learning rate.
        beta1: decay of the running mean.
        beta2: decay of the running mean square.
        eps: keeps the division finite.

    >>> import numpy as np
    >>> outer, model = Adam(lr=0.1), {"w": np.array([0.0])}
    >>> model, _ = outer.apply(model, Update(values={"w": np.array([4.0])}), outer.init(model))
    >>> model["w"].round(6).tolist()
    [0.1]
    """

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def init(self, model: Params) -> Moments:
        """Moments of zero for each parameter."""
        zeros = {k: v * 0.0 for k, v in _parameters(model)}
        return Moments(zeros, zeros, dict.fromkeys(zeros, 0))

    def apply(self, model: Params, update: Update, state: Moments) -> tuple[Params, Moments]:
        """One bias-corrected step."""
        steps = _trained(model, update)
        n = {k: state.steps[k] + 1 for k in steps}
        first = {k: self.beta1 * state.first[k] + (1 - self.beta1) * g for k, g in steps.items()}
        second = {k: self.beta2 * state.second[k] + (1 - self.beta2) * g * g for k, g in steps.items()}
        moved = {
            k: model[k]
            + self.lr
            * (first[k] / (1 - self.beta1 ** n[k]))
            / ((second[k] / (1 - self.beta2 ** n[k])) ** 0.5 + self.eps)
            for k in steps
        }
        moments = Moments({**state.first, **first}, {**state.second, **second}, {**state.steps, **n})
        return {**_with_buffers(model, update), **moved}, moments


def _parameters(model: Params) -> list[tuple[str, Array]]:
    return [(k, v) for k, v in model.items() if not k.startswith(BUFFER)]


def _trained(model: Params, update: Update) -> Params:
    """Update leaves that name trained parameters."""
    return {k: update.values[k] for k, _ in _parameters(model) if k in update.values}


def _with_buffers(model: Params, update: Update) -> Params:
    """The model with the mean buffer differences added."""
    sent = {k: v + update.values[k] for k, v in model.items() if k.startswith(BUFFER) and k in update.values}
    return {**model, **sent}


class Solving(Protocol):
    """A model that is the state of an explicit solver: it knows whether it has arrived."""

    @property
    def done(self) -> bool:
        """Whether the answer is final."""


@final
@dataclass(frozen=True, slots=True)
class Solve(Outer):
    """The learner's own step: each round evaluates the point that the model asks for.

    Args:
        step: (model, merged update) -> next model; pure. The model's `done` ends the run.

    >>> import numpy as np
    >>> from talkoot.testing.toys import Count, Facts
    >>> model, done = Solve(Count().step).apply(Facts(), Update(values={"rows": np.array([3.0])}), False)
    >>> model.found["rows"].tolist(), done
    ([3.0], True)
    """

    step: Callable[[Any, Update], Solving]
    ends: ClassVar[bool] = True

    def init(self, model: Solving) -> bool:
        """Whether there is anything to solve."""
        return model.done

    def apply(self, model: Solving, update: Update, state: bool) -> tuple[Solving, bool]:
        """Take the solver's step."""
        moved = self.step(model, update)
        return moved, moved.done

    def done(self, state: bool) -> bool:
        """Whether the solver has arrived."""
        return state

    def __repr__(self) -> str:
        return f"Solve({self.step.__qualname__})"

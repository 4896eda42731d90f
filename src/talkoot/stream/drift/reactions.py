"""What to do about a change: functions over the state of a node."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, final, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.model import OnlineModel
from talkoot.learners.online.state import State, copied, placed, replace_under, under
from talkoot.stream.drift.losses import squares

MODEL, OWN = "model/", "drift/reaction/"
TOGETHER = (MODEL, "calibrator/", "threshold/", "drift/loss/", "drift/features/", "drift/estimate/")


@runtime_checkable
class Boostable(Protocol):
    """A model that can learn faster for a while."""

    def boost(self, state: State, factor: float) -> None:
        """Multiply the learning rate, which then falls as it always does."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What was learned: the model, its rows and labels, and what was predicted before.

    `ends` says whether it is time to decide: at multiples of `Reaction.step`, so that cuts do not matter.
    """

    model: OnlineModel
    layout: Layout
    seed: int
    rows: Features
    y: NDArray[np.float64]
    predictions: NDArray[Any]
    ends: bool = True


class Reaction(ABC):
    """What to do when the loss has risen: a frozen dataclass of settings.

    Class attributes:
        step: learned rows between two moments at which it may decide.
    """

    step: ClassVar[int] = 200

    @abstractmethod
    def react(self, node: State, since: int | None, step: Step) -> list[str]:
        """Change the node's state after rows were learned; returns what was done.

        `since` says after how many learned rows the loss began to rise; None: it did not, or this is no time
        to decide. `node` has the prefixes "model/", "drift/" and those of other parts; what the reaction
        itself remembers is under "drift/reaction/".
        """

    def weights(self, node: State, rows: int) -> NDArray[np.float64] | None:
        """Weights of the next rows to learn; None for 1 each."""
        del node, rows
        return None


@final
@dataclass(frozen=True, slots=True)
class Alert(Reaction):
    """Report, and change nothing."""

    step: ClassVar[int] = 1 << 40

    def react(self, node: State, since: int | None, step: Step) -> list[str]:
        """Nothing is changed."""
        return []


@final
@dataclass(frozen=True, slots=True)
class Boost(Reaction):
    """Learn faster for a while.

    Args:
        factor: how much faster.
        rows: for how many rows, where the model has no `boost` of its own: they then weigh more.
    """

    factor: float = 10.0
    rows: int = 2000

    def react(self, node: State, since: int | None, step: Step) -> list[str]:
        """Raise the learning rate at an alarm."""
        left = node.setdefault(OWN + "left", np.zeros(1, np.int64))
        left[:] = np.maximum(left - len(step.y), 0)
        if since is None:
            return []
        if isinstance(step.model, Boostable):
            part = under(node, MODEL)
            step.model.boost(part, self.factor)
            replace_under(node, MODEL, part)
        else:
            left[:] = self.rows
        return [f"the model learns {self.factor:g} times faster for a while"]

    def weights(self, node: State, rows: int) -> NDArray[np.float64] | None:
        """More for rows soon after an alarm."""
        left = int(node.get(OWN + "left", np.zeros(1))[0])
        return np.where(np.arange(rows) < left, self.factor, 1.0) if left else None


@final
@dataclass(frozen=True, slots=True)
class Reset(Reaction):
    """Begin with a new model."""

    def react(self, node: State, since: int | None, step: Step) -> list[str]:
        """A new model at an alarm."""
        if since is None:
            return []
        replace_under(node, MODEL, step.model.start(step.layout, step.seed))
        return ["the model began anew"]


@final
@dataclass(frozen=True, slots=True)
class Challenger(Reaction):
    """Learn a second model from the alarm on, and promote it as soon as it is surely better.

    Both predict each row before they learn it. The test bets on the difference of their losses: if the second
    is no better, its stake reaches 1 / `level` with probability `level` at most, however often one looks
    (Ville's inequality).

    Args:
        level: how likely a model that is no better may be promoted.
        rows: after so many it is given up.
    """

    level: float = 0.01
    rows: int = 50_000

    def react(self, node: State, since: int | None, step: Step) -> list[str]:
        """Start a challenger at an alarm; let one that exists learn, and promote it or give it up."""
        name = OWN + "challenger/"
        if OWN + "bets" not in node:
            if since is None:
                return []
            node.update(placed(step.model.start(step.layout, step.seed), name))
            node[OWN + "bets"] = np.zeros(5)  # rows, sum and squares of gains, log of the stake, its highest
            return ["a second model began to learn beside the first"]
        part = under(node, name)
        predictions = step.model.learn(part, step.rows, step.y)
        replace_under(node, name, part)
        scale = float(node["drift/loss/scale"][1] / max(1.0, node["drift/loss/scale"][0]))
        ours, theirs = (
            squares(p, step.y, step.layout.classes, scale) for p in (step.predictions, predictions)
        )
        fair = np.isfinite(ours) & np.isfinite(theirs)
        highest = bet(node[OWN + "bets"], (ours - theirs)[fair])
        rows = int(node[OWN + "bets"][0])
        if not step.ends or (highest < -math.log(self.level) and rows < self.rows):
            return []
        del node[OWN + "bets"]
        replace_under(node, name, {})
        if highest < -math.log(self.level):
            return [f"the second model was given up after {rows:,} rows: it was not better"]
        replace_under(node, MODEL, part)
        return [f"the second model was promoted after {rows:,} rows"]


def bet(bets: NDArray[np.float64], gains: NDArray[np.float64]) -> float:
    """Stake a share of what there is on each gain in [-1, 1] being above 0; the highest log of the stake."""
    if not len(gains):
        return float(bets[4])
    rows = bets[0] + np.arange(len(gains) + 1)
    sums = np.cumsum(np.concatenate([bets[1:2], gains]))
    squared = np.cumsum(np.concatenate([bets[2:3], gains * gains]))
    mean, second = sums[:-1] / (rows[:-1] + 1.0), (squared[:-1] + 0.25) / (rows[:-1] + 1.0)
    share = np.clip(mean / second, 0.0, 0.5)  # known before the row is
    stakes = np.cumsum(np.concatenate([bets[3:4], np.log1p(share * gains)]))
    bets[:] = rows[-1], sums[-1], squared[-1], stakes[-1], max(bets[4], stakes.max())
    return float(bets[4])


@final
@dataclass(frozen=True, slots=True)
class RollBack(Reaction):
    """Go back to how all was before the change: model, calibrator, threshold and detectors together.

    For changes that are faults, such as labels that were wrong for a while. The states of two moments are
    held; after going back, an alarm within twice that time is only reported.

    Args:
        every: rows between the moments.
    """

    every: int = 10_000

    def react(self, node: State, since: int | None, step: Step) -> list[str]:
        """Hold a state from time to time; go back at an alarm."""
        now = node.setdefault(OWN + "rows", np.zeros(3, np.int64))  # rows, at the last hold, until going back
        now[0] += len(step.y)
        older, newer = OWN + "older/", OWN + "newer/"
        if since is not None and now[0] >= now[2]:
            held = under(node, newer) if now[1] < since else under(node, older)
            if not held:
                return ["there is no earlier state to go back to"]
            for prefix in TOGETHER:
                replace_under(node, prefix, copied(under(held, prefix)))
            now[2] = now[0] + 2 * self.every
            return ["model and detectors are as they were before the change"]
        if since is None and step.ends and now[0] - now[1] >= self.every:
            replace_under(node, older, under(node, newer))
            whole = {name: array for name, array in node.items() if name.startswith(TOGETHER)}
            replace_under(node, newer, copied(whole))
            now[1] = now[0]
        return []

"""The state of a run of rounds in a checkpoint: the model, the outer step's state, the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
import torch

from talkoot.core.engine import Progress
from talkoot.core.round import Outcome, Round

_METRICS = "told"  # the key of the rounds' metrics in saved states


@final
@dataclass(slots=True, eq=False)
class RoundsState:
    """A run of rounds. The private state of nodes is not saved."""

    progress: Progress
    nodes: tuple[str, ...]  # all nodes. After a restore, all of them count as arrived in earlier rounds
    unit: ClassVar[str] = "round"

    @property
    def steps(self) -> int:
        """Rounds done."""
        return self.progress.rounds

    def state(self) -> dict[str, Any]:
        """The model, the outer step's state and the metrics of every round."""
        return {
            "model": tensors(self.progress.model),
            "outer": tensors(self.progress.outer),
            "first": self.progress.rounds - len(self.progress.history),
            _METRICS: [dict(outcome.metrics) for outcome in self.progress.history],
        }

    def outline(self) -> dict[str, Any]:
        """The same."""
        return self.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        now = self.progress
        model, outer = arrays(state["model"], now.model), arrays(state["outer"], now.outer)
        metrics = enumerate(state[_METRICS], state["first"])
        history = tuple(self._outcome(index, found) for index, found in metrics)
        self.progress = replace(now, model=model, outer=outer, point=model, history=history)

    def _outcome(self, index: int, metrics: Mapping[str, float]) -> Outcome:
        return Outcome(
            round=Round(index=index, cohort=self.nodes),
            arrived=self.nodes,
            failed={},
            committed=True,
            metrics=metrics,
            seconds=0.0,
        )


def tensors(tree: Any) -> Any:
    """Mappings and dataclasses as dicts, arrays as tensors.

    >>> tensors({"a": np.zeros(2), "n": 3})
    {'a': tensor([0., 0.], dtype=torch.float64), 'n': 3}
    """
    if isinstance(tree, Mapping):
        return {name: tensors(value) for name, value in tree.items()}
    if is_dataclass(tree) and not isinstance(tree, type):
        return {f.name: tensors(getattr(tree, f.name)) for f in fields(tree)}
    return torch.from_numpy(tree.copy()) if isinstance(tree, np.ndarray) else tree


def arrays(state: Any, like: Any) -> Any:
    """The inverse of `tensors`, for an object built like `like`."""
    if isinstance(like, Mapping):
        return {name: arrays(state[name], value) for name, value in like.items()}
    if is_dataclass(like) and not isinstance(like, type):
        return replace(like, **{f.name: arrays(state[f.name], getattr(like, f.name)) for f in fields(like)})
    return state.numpy() if isinstance(state, torch.Tensor) else state

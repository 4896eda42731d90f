"""Where a run of rounds stands, as a checkpoint holds it: the model, the outer step's state, the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
import torch

from talkoot.core.engine import Progress
from talkoot.core.round import Outcome, Round


@final
@dataclass(slots=True, eq=False)
class RoundsState:
    """A run of rounds. What nodes keep for themselves is not in its checkpoints.

    Args:
        progress: where it stands.
        nodes: all nodes. Which of them arrived in rounds before a checkpoint is not kept.
    """

    progress: Progress
    nodes: tuple[str, ...]
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
            "told": [dict(outcome.metrics) for outcome in self.progress.history],
        }

    def outline(self) -> dict[str, Any]:
        """The same."""
        return self.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Stand there."""
        now = self.progress
        model, outer = arrays(state["model"], now.model), arrays(state["outer"], now.outer)
        told = tuple(
            self._outcome(index, metrics) for index, metrics in enumerate(state["told"], state["first"])
        )
        self.progress = replace(now, model=model, outer=outer, point=model, history=told)

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
    """Mappings and dataclasses as dicts, their arrays as tensors of the same memory.

    >>> tensors({"a": np.zeros(2), "n": 3})
    {'a': tensor([0., 0.], dtype=torch.float64), 'n': 3}
    """
    if isinstance(tree, Mapping):
        return {name: tensors(value) for name, value in tree.items()}
    if is_dataclass(tree) and not isinstance(tree, type):
        return {f.name: tensors(getattr(tree, f.name)) for f in fields(tree)}
    return torch.from_numpy(tree.copy()) if isinstance(tree, np.ndarray) else tree


def arrays(state: Any, like: Any) -> Any:
    """What `tensors` made of something that was built as `like` is."""
    if isinstance(like, Mapping):
        return {name: arrays(state[name], value) for name, value in like.items()}
    if is_dataclass(like) and not isinstance(like, type):
        return replace(like, **{f.name: arrays(state[f.name], getattr(like, f.name)) for f in fields(like)})
    return state.numpy() if isinstance(state, torch.Tensor) else state

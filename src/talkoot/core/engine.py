"""Where nodes are: the one thing that an engine must be able to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from talkoot.core.plan import Plan
from talkoot.core.shard import Shard
from talkoot.core.sync import Merged, Round

Listener = Callable[[str, Mapping[str, Any]], None]  # (name of the event, its facts)


def ignore(event: str, facts: Mapping[str, Any]) -> None:
    """A listener that hears nothing."""
    del event, facts


class Nodes(ABC):
    """Nodes that hold their shards and know the plan."""

    @abstractmethod
    def round(self, rnd: Round, model: Any) -> Merged:
        """Each node of the round's cohort works and encodes; all that arrives is merged.

        A node that fails is reported in ``Merged.failed``, never raised: whether the round counts is for
        the loop to say.
        """


class Engine(ABC):
    """A place for nodes."""

    @abstractmethod
    def open(
        self, plan: Plan, shards: Mapping[str, Shard], listen: Listener = ignore
    ) -> AbstractContextManager[Nodes]:
        """Place the plan and the shards once; on exit leave nothing behind."""

"""One node of this process: a run on its rows alone needs no engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

from talkoot.core.engine import Nodes, View
from talkoot.core.plan import Plan
from talkoot.core.round import Merged, Round
from talkoot.core.run import NodeState, work
from talkoot.core.shard import Shard


@final
@dataclass(slots=True, eq=False)
class OneNode(Nodes):
    """A node, as the loop sees it, for plans without phases. What it raises is raised.

    >>> import numpy as np, talkoot as tk
    >>> from talkoot.core.run import run_on
    >>> from talkoot.data.schema import agree
    >>> from sklearn.preprocessing import StandardScaler
    >>> schema, bound = agree(tk.shards(np.array([[1.0], [3.0]])), tk.Inline())
    >>> plan = tk.Plan(tk.learner_for(StandardScaler()))
    >>> plan.learner.finish(run_on(OneNode(bound["node0"]), plan, schema=schema).model).mean_
    array([2.])
    """

    shard: Shard
    plan: Plan | None = None
    rows: Shard | None = None
    state: NodeState = field(default_factory=NodeState)

    @property
    def names(self) -> tuple[str, ...]:
        """Its name."""
        return (self.shard.name,)

    def place(self, plan: Plan, view: View | None = None) -> None:
        """What to do from now on."""
        self.plan, self.state = plan, NodeState()
        self.rows = self.shard if view is None else view(self.shard)

    def round(self, rnd: Round, question: Any) -> Merged:
        """Work."""
        assert self.plan is not None
        assert self.rows is not None
        update, self.state = work(self.plan, question, self.rows, self.state, rnd)
        if self.plan.merge.needs == "each":
            return Merged(each={self.shard.name: update}, arrived=rnd.cohort)
        return Merged(update=update, arrived=rnd.cohort)

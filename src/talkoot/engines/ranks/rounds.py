"""Rounds over ranks: every rank runs the loop, hosts some nodes, and gets the answers of all others."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast, final

from talkoot.core.engine import Emit, Nodes, Progress, View, Viewed, ignore
from talkoot.core.plan import Plan
from talkoot.core.round import Merged, Round
from talkoot.core.run import NodeState, contribute, explain, overlap, restarted
from talkoot.core.shard import Shard
from talkoot.data.loading.generators import start_seed
from talkoot.engines.events import Answer, Slot, together
from talkoot.engines.gathering import Gathering, restarts
from talkoot.engines.processes import wire
from talkoot.engines.ranks.checkpoint.identity import planned_steps, settings
from talkoot.engines.ranks.checkpoint.rounds_state import RoundsState
from talkoot.engines.ranks.checkpoint.saving import Saving
from talkoot.engines.ranks.collectives import exchange
from talkoot.engines.ranks.collectives.group import Peers
from talkoot.engines.ranks.collectives.objects import broadcast_object
from talkoot.engines.ranks.supervision.job import agree_on_job
from talkoot.engines.ranks.supervision.rank_state import RankState
from talkoot.engines.ranks.supervision.stop_request import GO_ON, SAVE, StopRequest
from talkoot.learners.deep.task import Torch
from talkoot.learners.deep.trainer import Trainer


@final
@dataclass(slots=True, eq=False)
class RankNodes(Nodes):
    """The nodes of all ranks, seen from one of them; `shards` are those of all nodes."""

    shards: Mapping[str, Shard]
    group: Peers
    rank_state: RankState
    stop_request: StopRequest
    saving: Saving = field(default_factory=Saving)
    emit: Emit = ignore
    request: int = GO_ON
    compare: bool = False  # ranks are programs of their own, which may differ
    plan: Plan | None = None
    views: Mapping[str, Shard] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes of all ranks."""
        return tuple(self.shards)

    def place(self, plan: Plan, view: View | None = None) -> None:
        """Take the plan and the view.

        Raises:
            PlanError: ranks differ in their plan or their data.
        """
        if self.compare:
            agree_on_job(plan, self.shards, self.group)
        if self.plan is not None:
            self.rank_state.forget_rounds()
        self.plan, self.views = plan, Viewed(self.shards, view)

    def resume(self, progress: Progress) -> Progress:
        """Go on from the progress of the furthest rank; ranks that are behind or new copy it."""
        mine = self.rank_state.progress or progress
        here = hosted(self.shards, self.group.rank, self.group.world)
        for node in self.rank_state.node_states.keys() - here.keys():
            del self.rank_state.node_states[node]  # another rank goes on with it
        done = self.group.gather_numbers([mine.rounds])[:, 0]
        if not done.any():
            mine = self._loaded(mine)
        furthest = int(done.argmax())
        if done.min() < done.max():
            newest = broadcast_object(self.group, mine, furthest)
            mine = mine if mine.rounds == done.max() else newest
        self.rank_state.progress = mine
        return mine

    def record(self, progress: Progress) -> None:
        """Store the progress for the next epoch; save or stop, if a rank requests it.

        Raises:
            Stopped: a rank requests to stop.
        """
        self.rank_state.progress = progress
        if self.request != GO_ON:
            self.saving.save(RoundsState(progress, tuple(self.shards)), self.group)
        if self.request > SAVE:
            self.saving.wait()
        self.stop_request.raise_if_stop(self.request, progress.rounds)

    def finish(self) -> None:
        """Save the final progress."""
        if self.rank_state.progress is not None:
            self.saving.finish(RoundsState(self.rank_state.progress, tuple(self.shards)), self.group)

    def _loaded(self, progress: Progress) -> Progress:
        """The progress of the newest checkpoint; `progress` without one."""
        assert self.plan is not None
        state = RoundsState(progress, tuple(self.shards))
        if self.saving.checkpoints is not None:
            compared = None
            if self.group.rank == 0:
                seed = start_seed(self.plan.seed)
                compared = settings(self.plan, self.shards, Trainer(cast(Torch, self.plan.learner), seed))
            self.saving.begin(state, self.group, compared, planned_steps(self.plan, self.shards))
        return state.progress

    def round(self, rnd: Round, question: object) -> Merged:
        """Work here, and exchange with all others while the nodes go on."""
        gathering = self._gathering(rnd)
        key = (rnd.index, rnd.phase, rnd.dropped)
        if self.rank_state.answers is None or self.rank_state.answers[0] != key:
            self.rank_state.answers = (key, {})
        _, mine = self.rank_state.answers  # not empty where the last epoch broke during the exchange
        new = [node for node in self._hosted(rnd) if node not in mine]
        mine |= {node: self._answer(node, rnd, question) for node in new}
        answers = [mine[node] for node in self._hosted(rnd)]
        if not gathering.apart:
            answers = [together(answers)]
        request = max(self.stop_request.pending(), self.saving.pending())
        finish = exchange.start(self.group, wire.packed((request, answers)), sums=not gathering.apart)
        self._overlap(rnd, new)
        messages = finish()
        self.request = max(request for request, _ in messages)
        received = [answer for _, answers in messages for answer in answers]
        for answer in received:
            gathering.take(answer, 0.0)
        for report in restarts([node for answer in received for node in answer.restarted], rnd):
            self.emit(report.event, report.facts)
        return gathering.merged()

    def _gathering(self, rnd: Round) -> Gathering:
        assert self.plan is not None
        world = self.group.world
        slots = [Slot(rank, frozenset(hosted(self.shards, rank, world))) for rank in range(world)]
        gathering = Gathering(slots=slots, each=self.plan.merge.needs == "each")
        gathering.begin(rnd, 0.0)
        return gathering

    def _hosted(self, rnd: Round) -> list[str]:
        here = hosted(self.shards, self.group.rank, self.group.world)
        return [node for node in rnd.cohort if node in here]

    def _answer(self, node: str, rnd: Round, question: object) -> Answer:
        assert self.plan is not None
        began = time.perf_counter()
        before = self.rank_state.node_states.get(node)
        try:
            shard = self.views[node]
            ctx = self.plan.ctx(rnd, shard.name)
            update, state = contribute(self.plan, question, shard, before or NodeState(), rnd, ctx)
        except Exception as error:
            return Answer(failed={node: explain(error, node, rnd)})
        self.rank_state.node_states[node] = state
        anew = (node,) if restarted(self.plan, before, state, rnd) else ()
        seconds = {node: time.perf_counter() - began}
        return Answer(nodes=(node,), update=update, seconds=seconds, restarted=anew)

    def _overlap(self, rnd: Round, nodes: Sequence[str]) -> None:
        assert self.plan is not None
        for node in nodes:
            state = self.rank_state.node_states.get(node)
            if state is not None and state.round == rnd.index:
                shard = self.views[node]
                after = overlap(self.plan, shard, state, rnd, self.plan.ctx(rnd, shard.name))
                self.rank_state.node_states[node] = after


def hosted(nodes: Mapping[str, object], rank: int, world: int) -> dict[str, None]:
    """The nodes that a rank hosts: every `world`-th, starting with its own number.

    >>> list(hosted({"a": 0, "b": 0, "c": 0}, 0, 2))
    ['a', 'c']
    """
    return dict.fromkeys(list(nodes)[rank::world])

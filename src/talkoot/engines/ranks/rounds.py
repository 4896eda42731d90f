"""Rounds over ranks: every rank runs the loop, hosts some nodes, and hears what all others say."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast, final

from talkoot.core.engine import Emit, Nodes, Progress, View, ignore
from talkoot.core.plan import Plan
from talkoot.core.round import Merged, Round
from talkoot.core.run import NodeState, contribute, explain, overlap, restarted
from talkoot.core.shard import Shard
from talkoot.core.update import Update, total
from talkoot.data.loading.generators import start_seed
from talkoot.engines.gathering import Answer, Gathering, Slot, restarts
from talkoot.engines.processes import wire
from talkoot.engines.ranks.checkpoint.identity import planned, settings
from talkoot.engines.ranks.checkpoint.rounds_state import RoundsState
from talkoot.engines.ranks.checkpoint.saving import Saving
from talkoot.engines.ranks.collectives import exchange
from talkoot.engines.ranks.collectives.group import Peers
from talkoot.engines.ranks.supervision.job import agree_on_job
from talkoot.engines.ranks.supervision.rank_state import RankState
from talkoot.engines.ranks.supervision.stop_request import GO_ON, SAVE, StopRequest
from talkoot.learners.deep.task import Torch
from talkoot.learners.deep.trainer import Trainer


@final
@dataclass(slots=True, eq=False)
class RankNodes(Nodes):
    """The nodes of all ranks, seen from one of them.

    Args:
        shards: the rows of all nodes.
        group: the ranks.
        memory: what this rank holds from one epoch to the next.
        pause: whether this rank wants all to stop.
        saving: where checkpoints go.
        emit: hears of nodes that start without the state that they had.
    """

    shards: Mapping[str, Shard]
    group: Peers
    memory: RankState
    pause: StopRequest
    saving: Saving = field(default_factory=Saving)
    emit: Emit = ignore
    wish: int = GO_ON
    compare: bool = False
    plan: Plan | None = None
    view: View | None = None
    views: dict[str, Shard] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes of all ranks."""
        return tuple(self.shards)

    def place(self, plan: Plan, view: View | None = None) -> None:
        """Take the plan; nodes of this rank look at their shards when they are first read.

        Raises:
            PlanError: ranks differ in their plan or their data.
        """
        if self.compare:
            agree_on_job(plan, self.shards, self.group)
        if self.plan is not None:
            self.memory.forget()
        self.plan, self.view, self.views = plan, view, {}

    def resume(self, progress: Progress) -> Progress:
        """Go on from where the furthest rank stands; who is behind, or new, pulls its state."""
        mine = self.memory.progress or progress
        here = hosted(self.shards, self.group.rank, self.group.world)
        for node in self.memory.states.keys() - here.keys():
            del self.memory.states[node]  # another rank goes on with it
        done = self.group.numbers([mine.rounds])[:, 0]
        if not done.any():
            mine = self._loaded(mine)
        furthest = int(done.argmax())
        if done.min() < done.max():
            said = self.group.gather(wire.packed(mine) if self.group.rank == furthest else b"")
            mine = mine if mine.rounds == done.max() else wire.unpacked(said[furthest])
        self.memory.progress = mine
        return mine

    def record(self, progress: Progress) -> None:
        """Remember it, for the next epoch; save it or stop here, if a rank wants to.

        Raises:
            Paused: one wants to stop.
        """
        self.memory.progress = progress
        if self.wish != GO_ON:
            self.saving.save(RoundsState(progress, tuple(self.shards)), self.group)
        if self.wish > SAVE:
            self.saving.wait()
        self.pause.obey(self.wish, progress.rounds)

    def finish(self) -> None:
        """Save the end."""
        if self.memory.progress is not None:
            self.saving.finish(RoundsState(self.memory.progress, tuple(self.shards)), self.group)

    def _loaded(self, progress: Progress) -> Progress:
        """From where the newest checkpoint stands, if there is one."""
        assert self.plan is not None
        standing = RoundsState(progress, tuple(self.shards))
        if self.saving.checkpoints is not None:
            told = None
            if self.group.rank == 0:
                seed = start_seed(self.plan.seed)
                told = settings(self.plan, self.shards, Trainer(cast(Torch, self.plan.learner), seed))
            self.saving.begin(standing, self.group, told, planned(self.plan, self.shards))
        return standing.progress

    def round(self, rnd: Round, question: object) -> Merged:
        """Work here, and exchange with all others while the nodes go on."""
        key = (rnd.index, rnd.phase, rnd.dropped)
        if self.memory.said is None or self.memory.said[0] != key:
            self.memory.said = (key, {})
        _, mine = self.memory.said  # also from the last epoch, where others may lack them
        new = [node for node in self._hosted(rnd) if node not in mine]
        mine |= {node: self._answer(node, rnd, question) for node in new}
        gathering = self._gathering()
        gathering.begin(rnd, 0.0)
        answers = [mine[node] for node in self._hosted(rnd)]
        finish = self._exchange(gathering, answers if gathering.apart else [together(answers)])
        self._overlap(rnd, new)
        received = finish()
        self.wish = max(wish for wish, _ in received)
        for answer in (answer for _, answers in received for answer in answers):
            gathering.take(answer, 0.0)
            for action in restarts(answer.restarted, rnd):
                self.emit(action.event, action.facts)
        return gathering.merged()

    def _gathering(self) -> Gathering:
        assert self.plan is not None
        world = range(self.group.world)
        slots = [Slot(rank, frozenset(hosted(self.shards, rank, self.group.world))) for rank in world]
        return Gathering(slots=slots, each=self.plan.merge.needs == "each")

    def _exchange(self, gathering: Gathering, answers: list[Answer]) -> Callable[[], list[exchange.Said]]:
        return exchange.start(self.group, wire.packed((self._wish(), answers)), sums=not gathering.apart)

    def _wish(self) -> int:
        return max(self.pause.wish(), self.saving.wish())

    def _hosted(self, rnd: Round) -> list[str]:
        here = hosted(self.shards, self.group.rank, self.group.world)
        return [node for node in rnd.cohort if node in here]

    def _shard(self, node: str) -> Shard:
        if node not in self.views:
            self.views[node] = self.shards[node] if self.view is None else self.view(self.shards[node])
        return self.views[node]

    def _answer(self, node: str, rnd: Round, question: object) -> Answer:
        assert self.plan is not None
        began = time.perf_counter()
        before = self.memory.states.get(node)
        try:
            update, state = contribute(self.plan, question, self._shard(node), before or NodeState(), rnd)
        except Exception as error:
            return Answer(failed={node: explain(error, node, rnd)})
        self.memory.states[node] = state
        anew = (node,) if restarted(self.plan, before, state, rnd) else ()
        seconds = {node: time.perf_counter() - began}
        return Answer(nodes=(node,), update=update, seconds=seconds, restarted=anew)

    def _overlap(self, rnd: Round, nodes: Sequence[str]) -> None:
        assert self.plan is not None
        for node in nodes:
            state = self.memory.states.get(node)
            if state is not None and state.round == rnd.index:
                self.memory.states[node] = overlap(self.plan, self._shard(node), state, rnd)


def together(answers: Sequence[Answer]) -> Answer:
    """One answer for several nodes, added in their order."""
    updates = {answer.nodes[0]: answer.update or Update() for answer in answers if answer.nodes}
    return Answer(
        nodes=tuple(updates),
        update=total(updates.values()),
        failed={node: error for answer in answers for node, error in answer.failed.items()},
        seconds={node: took for answer in answers for node, took in answer.seconds.items()},
        restarted=tuple(node for answer in answers for node in answer.restarted),
    )


def hosted(nodes: Mapping[str, object], rank: int, world: int) -> dict[str, None]:
    """The nodes that a rank hosts: every world-th.

    >>> list(hosted({"a": 0, "b": 0, "c": 0}, 0, 2))
    ['a', 'c']
    """
    return dict.fromkeys(list(nodes)[rank::world])

"""Rounds over ranks: every rank runs the loop, hosts some nodes, and gets the answers of all others."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast, final

from talkoot.core.engine import Emit, Nodes, Progress, ignore
from talkoot.core.merge import Merge, Sum
from talkoot.core.plan import Plan
from talkoot.core.run import NodeState, contribute, explain, overlap
from talkoot.core.shard import Shard
from talkoot.core.sync import Merged, Round
from talkoot.core.update import Update
from talkoot.data.loading.generators import start_seed
from talkoot.engines.processes import wire
from talkoot.engines.processes.answers import Answers, note_restarts, restarted
from talkoot.engines.processes.messages import Answer
from talkoot.engines.ranks.checkpoint.identity import planned_steps, settings
from talkoot.engines.ranks.checkpoint.rounds_state import RoundsState
from talkoot.engines.ranks.checkpoint.saving import Saving
from talkoot.engines.ranks.collectives import exchange
from talkoot.engines.ranks.collectives.group import Peers
from talkoot.engines.ranks.collectives.objects import broadcast_object
from talkoot.engines.ranks.supervision.rank_state import RankState
from talkoot.engines.ranks.supervision.stop_request import GO_ON, SAVE, StopRequest
from talkoot.learners.deep.task import Torch
from talkoot.learners.deep.trainer import Trainer


@final
@dataclass(slots=True, eq=False)
class RankNodes(Nodes):
    """The nodes of all ranks, seen from one of them; `shards` are those of all nodes."""

    plan: Plan
    shards: Mapping[str, Shard]
    group: Peers
    rank_state: RankState
    stop_request: StopRequest
    saving: Saving = field(default_factory=Saving)
    emit: Emit = ignore
    request: int = GO_ON

    def resume(self, progress: Progress) -> Progress:
        """Go on from the progress of the furthest rank; ranks that are behind or new copy it."""
        mine = self.rank_state.progress or progress
        here = hosted(self.shards, self.group.rank, self.group.world)
        for node in self.rank_state.node_states.keys() - here.keys():
            del self.rank_state.node_states[node]  # another rank goes on with it
        done = self.group.gather_numbers([len(mine.history)])[:, 0]
        if not done.any():
            mine = self._loaded(mine)
        furthest = int(done.argmax())
        if done.min() < done.max():
            newest = broadcast_object(self.group, mine, furthest)
            mine = mine if len(mine.history) == done.max() else newest
        self.rank_state.progress = mine
        return mine

    def keep(self, progress: Progress) -> None:
        """Store the progress for the next epoch; save or stop, if a rank requests it.

        Raises:
            Stopped: a rank requests to stop.
        """
        self.rank_state.progress = progress
        if self.request != GO_ON:
            self.saving.save(RoundsState(progress, tuple(self.shards)), self.group)
        if self.request > SAVE:
            self.saving.wait()
        self.stop_request.raise_if_stop(self.request, len(progress.history))

    def finish(self) -> None:
        """Save the final progress."""
        if self.rank_state.progress is not None:
            self.saving.finish(RoundsState(self.rank_state.progress, tuple(self.shards)), self.group)

    def _loaded(self, progress: Progress) -> Progress:
        """The progress of the newest checkpoint; `progress` without one."""
        state = RoundsState(progress, tuple(self.shards))
        if self.saving.checkpoints is not None:
            compared = None
            if self.group.rank == 0:
                seed = start_seed(self.plan.seed)
                compared = settings(self.plan, self.shards, Trainer(cast(Torch, self.plan.learner), seed))
            self.saving.begin(state, self.group, compared, planned_steps(self.plan, self.shards))
        return state.progress

    def round(self, rnd: Round, model: object) -> Merged:
        """Work here, and exchange with all others while the nodes go on."""
        key = (rnd.index, *rnd.dropped)
        if self.rank_state.answers is None or self.rank_state.answers[0] != key:
            self.rank_state.answers = key, {}
        mine = self.rank_state.answers[1]  # not empty where the last epoch broke during the exchange
        new = [node for node in self._hosted(rnd) if node not in mine]
        mine |= {node: self._answer(node, rnd, model) for node in new}
        request = max(self.stop_request.pending(), self.saving.pending())
        finish = self._exchange(rnd, wire.packed((request, self._ordered(rnd, mine))))
        self._overlap(rnd, new)
        messages = finish()
        self.request = max(request for request, _ in messages)
        received = [answer for _, answers in messages for answer in answers]
        note_restarts(self.emit, [node for answer in received for node in answer.restarted], rnd)
        gathered = Answers(rnd=rnd, message=None, apart=_separate(self.plan, rnd))
        for answer in received:
            gathered.add(answer)
        return gathered.merged(self.plan.merge)

    def _exchange(self, rnd: Round, message: bytes) -> Callable[[], list[exchange.Message]]:
        sums = isinstance(self.plan.merge, Sum) and not _separate(self.plan, rnd)
        return exchange.start(self.group, message, sums=sums)

    def _hosted(self, rnd: Round) -> list[str]:
        here = hosted(self.shards, self.group.rank, self.group.world)
        return [node for node in rnd.cohort if node in here]

    def _ordered(self, rnd: Round, mine: Mapping[str, Answer]) -> list[Answer]:
        answers = [mine[node] for node in self._hosted(rnd)]
        return answers if _separate(self.plan, rnd) else [merge_answers(self.plan.merge, answers)]

    def _answer(self, node: str, rnd: Round, model: object) -> Answer:
        began = time.perf_counter()
        before = self.rank_state.node_states.get(node)
        try:
            state = before or NodeState()
            update, state = contribute(self.plan, model, self.shards[node], state, rnd)
        except Exception as error:
            return Answer(failed={node: explain(error, node, rnd)})
        self.rank_state.node_states[node] = state
        anew = (node,) if restarted(self.plan, before, state, rnd) else ()
        seconds = {node: time.perf_counter() - began}
        return Answer(nodes=(node,), update=update, seconds=seconds, restarted=anew)

    def _overlap(self, rnd: Round, nodes: Sequence[str]) -> None:
        for node in nodes:
            state = self.rank_state.node_states.get(node)
            if state is not None and state.round == rnd.index:
                self.rank_state.node_states[node] = overlap(self.plan, self.shards[node], state, rnd)


def _separate(plan: Plan, rnd: Round) -> bool:
    """Whether the merge needs each node's answer."""
    return plan.merge.needs == "each" or rnd.quorum is not None


def merge_answers(merge: Merge, answers: Sequence[Answer]) -> Answer:
    """One answer for several nodes, merged in their order."""
    updates = {answer.nodes[0]: answer.update or Update() for answer in answers if answer.nodes}
    return Answer(
        nodes=tuple(updates),
        update=merge.merge(updates),
        failed={node: error for answer in answers for node, error in answer.failed.items()},
        seconds={node: took for answer in answers for node, took in answer.seconds.items()},
        restarted=tuple(node for answer in answers for node in answer.restarted),
    )


def hosted(nodes: Mapping[str, object], rank: int, world: int) -> dict[str, None]:
    """The nodes that a rank hosts: every `world`-th, starting with its own number.

    >>> list(hosted({"a": 0, "b": 0, "c": 0}, 0, 2))
    ['a', 'c']
    """
    return dict.fromkeys(list(nodes)[rank::world])

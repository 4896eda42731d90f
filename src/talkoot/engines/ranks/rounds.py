"""Rounds over ranks: every rank runs the loop, hosts some nodes, and hears what all others say."""

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
from talkoot.engines.ranks.checkpoint.identity import planned, settings
from talkoot.engines.ranks.checkpoint.rounds_state import RoundsState
from talkoot.engines.ranks.checkpoint.saving import Saving
from talkoot.engines.ranks.collectives import exchange
from talkoot.engines.ranks.collectives.group import Peers
from talkoot.engines.ranks.supervision.rank_state import RankState
from talkoot.engines.ranks.supervision.stop_request import GO_ON, SAVE, StopRequest
from talkoot.learners.deep.task import Torch
from talkoot.learners.deep.trainer import Trainer


@final
@dataclass(slots=True, eq=False)
class RankNodes(Nodes):
    """The nodes of all ranks, seen from one of them.

    Args:
        plan: what is run.
        shards: the rows of all nodes.
        group: the ranks.
        memory: what this rank holds from one epoch to the next.
        pause: whether this rank wants all to stop.
        saving: where checkpoints go.
        emit: hears of nodes that start without the state that they had.
    """

    plan: Plan
    shards: Mapping[str, Shard]
    group: Peers
    memory: RankState
    pause: StopRequest
    saving: Saving = field(default_factory=Saving)
    emit: Emit = ignore
    wish: int = GO_ON

    def resume(self, progress: Progress) -> Progress:
        """Go on from where the furthest rank stands; who is behind, or new, pulls its state."""
        mine = self.memory.progress or progress
        here = hosted(self.shards, self.group.rank, self.group.world)
        for node in self.memory.states.keys() - here.keys():
            del self.memory.states[node]  # another rank goes on with it
        done = self.group.numbers([len(mine.history)])[:, 0]
        if not done.any():
            mine = self._loaded(mine)
        furthest = int(done.argmax())
        if done.min() < done.max():
            said = self.group.gather(wire.packed(mine) if self.group.rank == furthest else b"")
            mine = mine if len(mine.history) == done.max() else wire.unpacked(said[furthest])
        self.memory.progress = mine
        return mine

    def keep(self, progress: Progress) -> None:
        """Remember it, for the next epoch; save it or stop here, if a rank wants to.

        Raises:
            Paused: one wants to stop.
        """
        self.memory.progress = progress
        if self.wish != GO_ON:
            self.saving.save(RoundsState(progress, tuple(self.shards)), self.group)
        if self.wish > SAVE:
            self.saving.wait()
        self.pause.obey(self.wish, len(progress.history))

    def finish(self) -> None:
        """Save the end."""
        if self.memory.progress is not None:
            self.saving.finish(RoundsState(self.memory.progress, tuple(self.shards)), self.group)

    def _loaded(self, progress: Progress) -> Progress:
        """From where the newest checkpoint stands, if there is one."""
        standing = RoundsState(progress, tuple(self.shards))
        if self.saving.checkpoints is not None:
            told = None
            if self.group.rank == 0:
                seed = start_seed(self.plan.seed)
                told = settings(self.plan, self.shards, Trainer(cast(Torch, self.plan.learner), seed))
            self.saving.begin(standing, self.group, told, planned(self.plan, self.shards))
        return standing.progress

    def round(self, rnd: Round, model: object) -> Merged:
        """Work here, and exchange with all others while the nodes go on."""
        key = (rnd.index, *rnd.dropped)
        if self.memory.said is None or self.memory.said[0] != key:
            self.memory.said = key, {}
        said = self.memory.said[1]  # also in the last epoch, where not all have heard it
        new = [node for node in self._mine(rnd) if node not in said]
        said |= {node: self._answer(node, rnd, model) for node in new}
        finish = self._tell(rnd, wire.packed((self._wish(), self._answers(rnd, said))))
        self._meanwhile(rnd, new)
        heard = Answers(rnd=rnd, message=None, apart=_apart(self.plan, rnd))
        told = finish()
        self.wish = max(wish for wish, _ in told)
        anew = [node for _, answers in told for answer in answers for node in answer.restarted]
        note_restarts(self.emit, anew, rnd)
        for answer in (answer for _, answers in told for answer in answers):
            heard.add(answer)
        return heard.merged(self.plan.merge)

    def _tell(self, rnd: Round, said: bytes) -> Callable[[], list[exchange.Said]]:
        plain = isinstance(self.plan.merge, Sum) and not _apart(self.plan, rnd)
        return exchange.start(self.group, said, sums=plain)

    def _wish(self) -> int:
        return max(self.pause.wish(), self.saving.wish())

    def _mine(self, rnd: Round) -> list[str]:
        here = hosted(self.shards, self.group.rank, self.group.world)
        return [node for node in rnd.cohort if node in here]

    def _answers(self, rnd: Round, said: Mapping[str, Answer]) -> list[Answer]:
        answers = [said[node] for node in self._mine(rnd)]
        return answers if _apart(self.plan, rnd) else [together(self.plan.merge, answers)]

    def _answer(self, node: str, rnd: Round, model: object) -> Answer:
        began = time.perf_counter()
        before = self.memory.states.get(node)
        try:
            state = before or NodeState()
            update, state = contribute(self.plan, model, self.shards[node], state, rnd)
        except Exception as error:
            return Answer(failed={node: explain(error, node, rnd)})
        self.memory.states[node] = state
        anew = (node,) if restarted(self.plan, before, state, rnd) else ()
        seconds = {node: time.perf_counter() - began}
        return Answer(nodes=(node,), update=update, seconds=seconds, restarted=anew)

    def _meanwhile(self, rnd: Round, nodes: Sequence[str]) -> None:
        for node in nodes:
            state = self.memory.states.get(node)
            if state is not None and state.round == rnd.index:
                self.memory.states[node] = overlap(self.plan, self.shards[node], state, rnd)


def _apart(plan: Plan, rnd: Round) -> bool:
    return plan.merge.needs == "each" or rnd.quorum is not None


def together(merge: Merge, answers: Sequence[Answer]) -> Answer:
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
    """The nodes that a rank hosts: every world-th.

    >>> list(hosted({"a": 0, "b": 0, "c": 0}, 0, 2))
    ['a', 'c']
    """
    return dict.fromkeys(list(nodes)[rank::world])

"""What a worker holds between messages, and how it does a round."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, final

from talkoot.core.errors import NodeFailed, TalkootError
from talkoot.core.plan import Plan
from talkoot.core.run import NodeState, explain, work
from talkoot.core.shard import Shard
from talkoot.core.sync import Round
from talkoot.core.update import Update
from talkoot.engines.counted import Counted
from talkoot.engines.ordered import OrderedMerge
from talkoot.engines.processes import edited, wire
from talkoot.engines.processes.answers import restarted
from talkoot.engines.processes.heartbeat import Heartbeat
from talkoot.engines.processes.messages import Answer, Ask, Load, Packed, Surroundings


@final
@dataclass(slots=True, eq=False)
class Host:
    """The plan, the shards and the nodes' states, or why they could not be taken.

    Args:
        pack: makes a message of an answer.
    """

    pack: Callable[[Answer], Any] = wire.frame
    plan: Plan | None = None
    shards: dict[str, Shard] = field(default_factory=dict)
    states: dict[str, NodeState] = field(default_factory=dict)
    trouble: Exception | None = None
    setting: Surroundings | None = None

    def take(self, load: Load, segments: list[memoryview]) -> None:
        """Unpack what was sent. What goes wrong is told in the first round."""
        self.clear()
        try:
            if load.setting != self.setting:
                load.setting.take()
                self.setting = load.setting
            edited.forget(load.changed)
            self.plan = _unpack(load.plan, segments)
            self.shards = {node: _unpack(packed, segments) for node, packed in load.shards.items()}
            self.states = _unpack(load.states, segments)
        except Exception as error:
            self.trouble = error

    def clear(self) -> None:
        """Let go of everything."""
        self.plan, self.shards, self.states, self.trouble = None, {}, {}, None

    def round(self, ask: Ask, read: Callable[[], tuple[Round, Any]], page: Heartbeat) -> Iterator[Any]:
        """The answers of the nodes, one each or one for all.

        Args:
            ask: whose turn it is.
            read: gives the round and the model.
            page: where to show how it goes.
        """
        try:
            rnd, model = read()
            if self.trouble is not None:
                raise missing_module(self.trouble) or self.trouble
        except (EOFError, ConnectionError):
            raise
        except Exception as error:
            rnd = Round(index=ask.round)
            yield self.pack(Answer(failed={node: _explain(error, node, rnd) for node in ask.nodes}))
            return
        answers = (self._node(index, node, rnd, model, page) for index, node in enumerate(ask.nodes))
        for answer in answers if ask.apart else [self._together(answers)]:
            packed = self._packed(answer, rnd)
            page.turn(None)  # before the answer is out, as the next request may follow it at once
            yield packed

    def _packed(self, answer: Answer, rnd: Round) -> Any:
        """The answer as a message; if it does not pickle, an answer that says so."""
        try:
            return self.pack(answer)
        except Exception as error:
            failed = {node: _unsendable(error, node, rnd) for node in (*answer.nodes, *answer.failed)}
            return self.pack(Answer(failed=failed))

    def _together(self, answers: Iterator[Answer]) -> Answer:
        """One answer for all; the first failure ends it, since all are needed."""
        assert self.plan is not None
        parts: list[Answer] = []
        heap = OrderedMerge(self.plan.merge, [])
        for answer in answers:
            if answer.failed:
                return answer
            for node in answer.nodes:
                heap.order.append(node)
                heap.add(node, answer.update or Update())
            parts.append(replace(answer, update=None))
        return Answer(
            nodes=tuple(node for part in parts for node in part.nodes),
            update=heap.merged(),
            states={node: state for part in parts for node, state in part.states.items()},
            seconds={node: took for part in parts for node, took in part.seconds.items()},
            restarted=tuple(node for part in parts for node in part.restarted),
        )

    def _node(self, index: int, node: str, rnd: Round, model: Any, page: Heartbeat) -> Answer:
        page.turn(index)
        began = time.perf_counter()
        try:
            update, state = self._work(node, rnd, model, page)
        except BaseException as error:  # also what would end a process, such as sys.exit()
            failed = {node: _explain(error, node, rnd)}
            return Answer(failed=failed, seconds={node: time.perf_counter() - began})
        finally:
            with suppress(OSError):  # nobody may be reading any more
                sys.stdout.flush()
        assert self.plan is not None
        began_anew = restarted(self.plan, self.states.get(node), state, rnd)
        self.states[node] = state
        kept = {node: state} if self._tells(state) else {}
        seconds = {node: time.perf_counter() - began}
        anew = (node,) if began_anew else ()
        return Answer(nodes=(node,), update=update, states=kept, seconds=seconds, restarted=anew)

    def _tells(self, state: NodeState) -> bool:
        """Whether a worker that takes over from this one would miss the state of a node.

        Learners that read samples keep optimizers and copies of the model there, many times what an update
        has: their nodes start afresh from the model that all share.
        """
        assert self.plan is not None
        return not self.plan.learner.samples and _keeps(state)

    def _work(self, node: str, rnd: Round, model: Any, page: Heartbeat) -> tuple[Update, NodeState]:
        assert self.plan is not None
        shard = Counted(self.shards[node], page.read)
        return work(self.plan, model, shard, self.states.get(node, NodeState()), rnd)


def missing_module(error: BaseException) -> NodeFailed | None:
    """The error of a process that lacks a module which the task or the data need; None of other errors."""
    if not isinstance(error, ModuleNotFoundError):
        return None
    return NodeFailed(
        f"ModuleNotFoundError: {error}, which what was sent needs",
        cure="Install it on every machine; on a cluster of Ray, tk.Ray(n, runtime_env={'pip': "
        f"[{error.name!r}]}}) does so, and for a module of your own runtime_env={{'py_modules': [...]}}.",
    )


def _unpack(packed: Packed, segments: list[memoryview]) -> Any:
    stream, pieces = packed
    return wire.load(
        stream,
        [
            bytearray(piece)
            if isinstance(piece, bytes)
            else segments[piece[0]][piece[1] : piece[1] + piece[2]]
            for piece in pieces
        ],
    )


def _keeps(state: NodeState) -> bool:
    """Whether there is anything in a node's state."""
    both = (state.now, state.before)
    return any(own is not None or any(link is not None for link in chain or ()) for own, chain in both)


def _explain(error: BaseException, node: str, rnd: Round) -> TalkootError:
    """`explain`, also for errors whose class does not survive being copied."""
    try:
        told: TalkootError = wire.copied(explain(error, node, rnd))
    except Exception:
        plain = RuntimeError(f"{type(error).__name__}: {error}").with_traceback(error.__traceback__)
        return explain(plain, node, rnd)
    return told


def _unsendable(error: Exception, node: str, rnd: Round) -> NodeFailed:
    return NodeFailed(
        f"what it has to say cannot be sent: {type(error).__name__}: {error}",
        node=node,
        step=f"round {rnd.index}",
        cure="Keep to arrays and plain values in updates and states of nodes, or run on Inline().",
    )

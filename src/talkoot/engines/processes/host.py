"""What a worker holds between messages, and how it does a round."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, final

from talkoot.core.engine import Viewed
from talkoot.core.errors import NodeFailed, TalkootError
from talkoot.core.plan import Plan
from talkoot.core.round import Round
from talkoot.core.run import NodeState, explain, restarted, work
from talkoot.core.shard import Shard
from talkoot.engines.counted import Counted
from talkoot.engines.events import Answer, together
from talkoot.engines.processes import edited, wire
from talkoot.engines.processes.heartbeat import Heartbeat
from talkoot.engines.processes.messages import Load, Packed, PlacePlan, RoundRequest, Surroundings


@final
@dataclass(slots=True, eq=False)
class Host:
    """The shards, the plan and the nodes' states, or why they could not be taken."""

    pack: Callable[[Answer], Any] = wire.frame  # makes a message of an answer
    shards: dict[str, Shard] = field(default_factory=dict)
    plan: Plan | None = None
    states: dict[str, NodeState] = field(default_factory=dict)
    load_error: Exception | None = None
    plan_error: Exception | None = None
    setting: Surroundings | None = None
    views: Mapping[str, Shard] = field(default_factory=dict)

    def load(self, load: Load, segments: list[memoryview]) -> None:
        """Unpack shards. What goes wrong is reported in the first round."""
        self.clear()
        try:
            if load.setting != self.setting:
                load.setting.take()
                self.setting = load.setting
            edited.forget(load.changed)
            self.shards = {node: _unpack(packed, segments) for node, packed in load.shards.items()}
        except Exception as error:
            self.load_error = error

    def place(self, message: PlacePlan, segments: list[memoryview]) -> None:
        """Unpack a plan and a view. What goes wrong is reported in the first round."""
        self.plan, self.states, self.views, self.plan_error = None, {}, {}, None
        try:
            edited.forget(message.changed)
            self.plan, view = _unpack(message.pair, segments)
            self.views = Viewed(self.shards, view)
            self.states = _unpack(message.states, segments)
        except Exception as error:
            self.plan_error = error

    def clear(self) -> None:
        """Let go of everything."""
        self.plan, self.shards, self.states, self.views = None, {}, {}, {}
        self.load_error = self.plan_error = None

    @property
    def trouble(self) -> Exception | None:
        """Why there is nothing to work on or to do; another plan may go well."""
        return self.load_error or self.plan_error

    def round(
        self, request: RoundRequest, read: Callable[[], tuple[Round, Any]], page: Heartbeat
    ) -> Iterator[Any]:
        """The answers of the nodes, one each or one for all; `read` gives the round and the question."""
        try:
            rnd, question = read()
            if self.trouble is not None:
                raise missing_module(self.trouble) or self.trouble
        except (EOFError, ConnectionError):
            raise
        except Exception as error:
            rnd = Round(index=request.round)
            yield self.pack(Answer(failed={node: _explain(error, node, rnd) for node in request.nodes}))
            return
        answers = (self._node(index, node, rnd, question, page) for index, node in enumerate(request.nodes))
        for answer in answers if request.apart else [together(answers)]:
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

    def _node(self, index: int, node: str, rnd: Round, question: Any, page: Heartbeat) -> Answer:
        page.turn(index)
        began = time.perf_counter()
        assert self.plan is not None
        before = self.states.get(node)
        try:
            shard = Counted(self.views[node], page.read)
            update, state = work(self.plan, question, shard, before or NodeState(), rnd)
        except BaseException as error:  # also what would end a process, such as sys.exit()
            failed = {node: _explain(error, node, rnd)}
            return Answer(failed=failed, seconds={node: time.perf_counter() - began})
        finally:
            with suppress(OSError):  # nobody may be reading any more
                sys.stdout.flush()
        self.states[node] = state
        portable = state.portable(self.plan)
        return Answer(
            nodes=(node,),
            update=update,
            states={} if portable is None else {node: portable},
            seconds={node: time.perf_counter() - began},
            restarted=(node,) if restarted(self.plan, before, state, rnd) else (),
        )


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


def _explain(error: BaseException, node: str, rnd: Round) -> TalkootError:
    """`explain`, also for errors whose class does not survive being copied."""
    try:
        copied: TalkootError = wire.copied(explain(error, node, rnd))
    except Exception:
        plain = RuntimeError(f"{type(error).__name__}: {error}").with_traceback(error.__traceback__)
        return explain(plain, node, rnd)
    return copied


def _unsendable(error: Exception, node: str, rnd: Round) -> NodeFailed:
    return NodeFailed(
        f"its answer cannot be sent: {type(error).__name__}: {error}",
        node=node,
        step=f"round {rnd.index}",
        cure="Keep to arrays and plain values in updates and states of nodes, or run on Inline().",
    )

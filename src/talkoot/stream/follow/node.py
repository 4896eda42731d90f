"""A node that follows: its store, its readers, and the answer of each round, which it gives once."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import final

from talkoot.core.context import LocalWork
from talkoot.core.errors import DataError
from talkoot.core.update import Update
from talkoot.learners.online.state import State, copied, placed, under
from talkoot.stream.follow.cursor import Cursor, Quota, owned
from talkoot.stream.follow.late.reading import LateRead
from talkoot.stream.follow.learning import STATE, Learning
from talkoot.stream.follow.outputs.outputs import Outputs
from talkoot.stream.follow.outputs.rejected import Rejected
from talkoot.stream.follow.passing import Pass, Unknown
from talkoot.stream.follow.question import Answered, Question, Report, answer
from talkoot.stream.follow.rows import Label
from talkoot.stream.follow.rules import Rules
from talkoot.stream.follow.shard import StreamShard
from talkoot.stream.store import Store

SHARED = ""  # the name of a state that all nodes share
Reading = Callable[[int], None]  # called with rows, before they are worked on, and with 0 while none come


@final
class FollowNode:
    """A node at work. Nothing that it holds is lost with it: it can be made again from its store.

    An answer is numbered, and stored together with the offsets behind its rows, in one transaction. It is
    given again until a question states that it was counted; only then are further rows read. An answer
    without rows is not stored, as nothing would be lost with it.

    Args:
        shard: the node's share of the stream.
        rules: how it is followed.

    Raises:
        DataError: the store cannot be used.
    """

    def __init__(self, shard: StreamShard, rules: Rules) -> None:
        self._shard, self._rules = shard, rules
        opened = ExitStack()
        self.close = weakref.finalize(self, opened.close)
        self._store = Store(shard.path)
        opened.callback(self._store.close)
        self._report = Report(**self._store.get("report", {}))
        offsets = owned(shard.partitions, self._report.offsets)
        self._cursor = Cursor(shard.source, offsets, rules.gone, lost=dict(self._report.gone))
        opened.callback(self._cursor.close)
        self._labels: Cursor | None = None
        if shard.labels is not None:
            offsets = owned(shard.label_partitions, self._report.label_offsets)
            self._labels = Cursor(shard.labels, offsets, rules.gone)
            opened.callback(self._labels.close)
        self._parts: State = self._store.get("parts", {})
        rejected = self._store.get("rejected", {})
        self._rejected = Rejected(shard.rejected, rejected)
        self._rejected.write(rejected)
        self._outputs: Outputs | None = None
        if shard.sink is not None:
            waiting = self._store.get("outputs", {})
            self._outputs = Outputs(shard.sink, f"{shard.run}-{shard.name}", waiting)
            opened.callback(self._outputs.close)
            self._outputs.write(waiting)
        self.usable = True  # whether what is in memory is what is stored

    def answer(self, question: Question, work: LocalWork, reading: Reading) -> Update:
        """The answer to a question.

        Args:
            question: the question.
            work: how much to read.
            reading: called before rows are worked on.

        Raises:
            LeaseLost: another process works for this node since then.
            OffsetGone: rows are gone that were not read, and the rules are to stop there.
            DataError: the store is not that of the run, or it or the sink cannot be written.
        """
        counted = question.counted.get(self._shard.name, 0)
        if self._report.number == counted + 1:
            stored = self._store.get("answer")
            return Update(values=stored["values"], weight=stored["weight"])
        if self._report.number != counted:
            raise self._foreign(counted)
        self.usable = False
        made = self._learn(question, quota_of(question, work, self._shard.name), reading)
        self.usable = True
        return made

    def _learn(self, question: Question, quota: Quota, reading: Reading) -> Update:
        """Learn the next rows, and commit the answer with all that it stands for."""
        name, rules = self._shard.name, self._rules
        before = question.states[SHARED if rules.adds else name]
        learning = self._learning(question, before)
        passing = Pass(learning, writes=self._outputs is not None)
        label = self._read(passing, quota, reading)
        report = replace(
            passing.report,
            offsets={**self._report.offsets, **self._cursor.offsets},
            over=label is None and self._cursor.done and (self._labels is None or self._labels.done),
            label=label,
            label_offsets={} if self._labels is None else dict(self._labels.offsets),
            gone=self._gone(),
            keys={} if passing.windows is None else passing.windows.keys(self._shard.partitions),
        )
        state, rows = under(learning.state, STATE), report.total - self._report.total
        change = rules.model.change(state, before) if rules.adds else state
        whole = Answered(report, change, learning.scores(), learning.held_out.answer())
        if rows or label is not None or self._labels is not None:
            report = replace(report, number=report.number + 1)
            again = replace(whole, report=replace(report, over=False))
            self._commit(passing, report, answer(again, rows))
        return answer(replace(whole, report=report), rows)

    def _commit(self, passing: Pass, report: Report, made: Update) -> None:
        """Commit an answer, and write what goes with it to files and sinks.

        The answer that is given again does not state that nothing will come: there may be more by then.
        """
        self._rejected.add({"node": self._shard.name, **line} for line in passing.rejected)
        state = passing.learning.state
        parts = {key: array for key, array in state.items() if not key.startswith(STATE)}
        rejected = self._rejected.waiting()
        outputs = {} if self._outputs is None else self._outputs.waiting(passing.outputs)
        self._store.commit(
            {
                "report": report.data(),
                "answer": {"values": dict(made.values), "weight": made.weight},
                "parts": parts,
                "rejected": rejected,
                **({} if self._outputs is None else {"outputs": outputs}),
            }
        )
        self._report, self._parts = report, parts
        self._rejected.write(rejected)
        if self._outputs is not None:
            self._outputs.write(outputs)
        for cursor in (self._cursor, self._labels):
            if cursor is not None:
                cursor.commit()

    def _learning(self, question: Question, before: State) -> Learning:
        """The model as the question has it, and this node's parts."""
        return Learning(
            rules=self._rules,
            node=self._shard.name,
            state=copied({**placed(before, STATE), **self._parts}),
            labels=question.labels,
            report=self._report,
            seed=question.seed,
            bold=question.bold,
            others=(before, question.other) if question.other else (),
        )

    def _read(self, passing: Pass, quota: Quota, reading: Reading) -> Label | None:
        """Learn the rows of a round; returns a label that stopped it, which the next row has."""
        if self._labels is not None:
            return LateRead(passing, self._cursor, self._labels, reading).read(quota)
        for partition, chunk in self._cursor.read(quota, lambda: reading(0)):
            reading(chunk.batch.num_rows)
            try:
                passing.take(partition, chunk)
            except Unknown as unknown:
                for part in self._cursor.again(partition, chunk, unknown.row, lambda: reading(0)):
                    passing.take(partition, part)
                return unknown.label
        return None

    def _gone(self) -> dict[str, str]:
        """Rows and labels that were gone, in words, by partition."""
        labels = {} if self._labels is None else self._labels.lost
        return dict(self._cursor.lost) | {f"labels of {name}": text for name, text in labels.items()}

    def _foreign(self, counted: int) -> DataError:
        number = self._report.number
        return DataError(
            f"{str(self._shard.path)!r} has {number} answers and the model has {counted}, so they are not of "
            "one run: a file of the store was lost, or put back from a copy",
            cure="Put back the whole folder, or follow anew with another store=.",
        )


def quota_of(question: Question, work: LocalWork, node: str) -> Quota:
    """How much a node reads in a round."""
    rows = [limit for limit in (work.rows, question.left.get(node)) if limit is not None]
    seconds = [limit for limit in (work.seconds, question.seconds) if limit is not None]
    return Quota(rows=min(rows, default=None), seconds=min(seconds, default=None), to_end=question.to_end)

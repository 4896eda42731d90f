"""What compositions share: their parts as one learner, the rows of a part, its name in errors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, get_args

from talkoot.core.errors import TalkootError
from talkoot.core.learner import Kind, Learner, SolvingLearner
from talkoot.core.shard import Block, Mapped, Rows, Schema, Shard
from talkoot.learners.compose.shapes import shaped


class Composition(SolvingLearner):
    """A learner made of other learners.

    Class attributes:
        own_types: the frozen dataclasses that its questions are made of, besides those of its parts.
    """

    own_types: ClassVar[tuple[type, ...]]

    @property
    @abstractmethod
    def learners(self) -> Sequence[Learner]:
        """Those of its parts."""

    @property
    def kind(self) -> Kind:
        """That of the weakest part."""
        return weakest(self.learners)

    @property
    def needs_all(self) -> bool:
        """Whether some part needs all nodes."""
        return any(part.needs_all for part in self.learners)

    @property
    def threads(self) -> bool:
        """Whether all parts release the interpreter lock."""
        return all(part.threads for part in self.learners)

    @property
    def pools(self) -> bool:
        """Whether some part learns as one in a process, and none holds up its threads."""
        return self.threads and any(part.pools for part in self.learners)

    @property
    def own_fit_needs(self) -> str:
        """What the first of such parts needs."""
        return next((part.own_fit_needs for part in self.learners if part.own_fit_needs), "")

    @property
    def large_integers(self) -> bool:
        """Whether some part needs exact large whole numbers."""
        return any(part.large_integers for part in self.learners)

    @property
    def question_types(self) -> tuple[type, ...]:
        """Its own, and those of all parts, each once."""
        theirs = (kind for part in self.learners for kind in part.question_types)
        return tuple(dict.fromkeys((*self.own_types, *theirs)))


@contextmanager
def error_context(name: str, columns: Sequence[str] | None = None) -> Iterator[None]:
    """Name the part in errors that are raised in this block.

    `columns` are the names of the part's columns, where its own schema has none.
    """
    try:
        yield
    except TalkootError as error:
        column = error.column
        if columns is not None and column is not None and column.isdigit():
            column = columns[int(column)]
        named = type(error)(
            f"in {name!r}: {error.cause}", node=error.node, step=error.step, column=column, cure=error.cure
        )
        raise named.with_traceback(error.__traceback__) from None


def weakest(learners: Iterable[Learner]) -> Kind:
    """The weakest kind of `learners`, which is that of the whole."""
    return max((learner.kind for learner in learners), key=get_args(Kind).index)


def part_schema(part: Learner, schema: Schema) -> Schema:
    """The schema as a part reads it, with floats for whole numbers unless it takes large ones."""
    return schema if part.large_integers else schema.floats()


def transformed_shard(
    shard: Shard, transform: Callable[[Rows], Any], schema: Schema, *, weighted: bool
) -> Shard:
    """The shard as a part reads it: transformed to rows of `schema`, with sample weights if `weighted`."""
    return Mapped(shard, partial(_transform_block, transform=transform, schema=schema, weighted=weighted))


def _transform_block(block: Block, transform: Callable[[Rows], Any], schema: Schema, weighted: bool) -> Block:
    return replace(block, X=shaped(transform(block.X), schema), w=block.w if weighted else None)

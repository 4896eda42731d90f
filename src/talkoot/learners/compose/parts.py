"""What compositions share: the rows that reach a part, its name in errors, the kind of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, get_args

from talkoot.core.errors import TalkootError
from talkoot.core.learner import Kind, Learner
from talkoot.core.shard import Block, Mapped, Rows, Schema, Shard
from talkoot.learners.compose.shapes import shaped


@contextmanager
def blamed(name: str, columns: Sequence[str] | None = None) -> Iterator[None]:
    """Say in errors which part they come from.

    Args:
        name: the part's name.
        columns: the names of the part's columns, where its own schema has none.
    """
    try:
        yield
    except TalkootError as error:
        column = error.column
        if columns is not None and column is not None and column.isdigit():
            column = columns[int(column)]
        said = type(error)(
            f"in {name!r}: {error.cause}", node=error.node, step=error.step, column=column, cure=error.cure
        )
        raise said.with_traceback(error.__traceback__) from None


def weakest(learners: Iterable[Learner]) -> Kind:
    """What can be said of an answer that is made of the answers of `learners`."""
    return max((learner.kind for learner in learners), key=get_args(Kind).index)


def fitting(part: Learner, schema: Schema) -> Schema:
    """The schema as a part reads it: whole numbers beyond 2**53 are floats for most."""
    return schema if part.large_integers else schema.floats()


def seen_through(shard: Shard, way: Callable[[Rows], Any], schema: Schema, *, weighted: bool) -> Shard:
    """The shard as a part sees it.

    Args:
        shard: the rows.
        way: what happens to them first.
        schema: what comes out of it.
        weighted: whether sample weights reach the part.
    """
    return Mapped(shard, partial(_changed, way=way, schema=schema, weighted=weighted))


def _changed(block: Block, way: Callable[[Rows], Any], schema: Schema, weighted: bool) -> Block:
    return replace(block, X=shaped(way(block.X), schema), w=block.w if weighted else None)

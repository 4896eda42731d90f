"""What compositions share: the rows of a part, its name in errors, the kind of the whole."""

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
def error_context(name: str, columns: Sequence[str] | None = None) -> Iterator[None]:
    """Name the part in errors that are raised in this block.

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
        named = type(error)(
            f"in {name!r}: {error.cause}", node=error.node, step=error.step, column=column, cure=error.cure
        )
        raise named.with_traceback(error.__traceback__) from None


def weakest(learners: Iterable[Learner]) -> Kind:
    """The weakest kind of `learners`, which is that of the whole."""
    return max((learner.kind for learner in learners), key=get_args(Kind).index)


def question_types(learners: Iterable[Learner]) -> tuple[type, ...]:
    """The types that questions of `learners` are made of, each once."""
    return tuple(dict.fromkeys(kind for learner in learners for kind in learner.question_types))


def part_schema(part: Learner, schema: Schema) -> Schema:
    """The schema as a part reads it, with floats for whole numbers unless it takes large ones."""
    return schema if part.large_integers else schema.floats()


def transformed_shard(
    shard: Shard, transform: Callable[[Rows], Any], schema: Schema, *, weighted: bool
) -> Shard:
    """The shard as a part reads it.

    Args:
        shard: the rows.
        transform: applied to them first.
        schema: of the transformed rows.
        weighted: whether sample weights reach the part.
    """
    return Mapped(shard, partial(_transform_block, transform=transform, schema=schema, weighted=weighted))


def _transform_block(block: Block, transform: Callable[[Rows], Any], schema: Schema, weighted: bool) -> Block:
    return replace(block, X=shaped(transform(block.X), schema), w=block.w if weighted else None)

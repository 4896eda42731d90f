"""The rows of nodes that explanations sum over."""

from __future__ import annotations

from typing import Any

from talkoot.core.errors import PlanError
from talkoot.core.shard import Schema
from talkoot.data.registered import Dataset
from talkoot.data.shards import Shards, shards


def shards_here(name: str, data: Any, target: Any, **roles: Any) -> Shards:
    """The rows of every node.

    Raises:
        PlanError: they are at sites of other organisations, which answer no such query.
        DataError: rows that cannot be used.
    """
    if isinstance(data, Dataset):
        raise PlanError(
            f"tk.explain.{name} is no query that the sites of a federation answer",
            cure="Let each site run it on its own rows, with the model that was delivered to it.",
        )
    return shards(data, target, **roles)


def columns_of(schema: Schema) -> tuple[str, ...]:
    """The columns' names; x0, x1, ... where they have none, as in scikit-learn."""
    return schema.names if schema.names is not None else tuple(f"x{j}" for j in range(schema.features))

"""Rows that are given, or that are at the sites of a federation."""

from __future__ import annotations

from typing import Any

from talkoot.core.engine import Engine
from talkoot.core.errors import DataError
from talkoot.data.registered import Dataset
from talkoot.data.shards import Shards, shards


def shards_on(data: Any, target: Any, on: Engine | None, **roles: Any) -> Shards:
    """The rows of every node: those that are given, or those of a data set at the sites of a federation.

    Raises:
        DataError: rows that cannot be used; `on` is no federation, or an option that only its sites can set.
    """
    if not isinstance(data, Dataset):
        return shards(data, target, **roles)
    from talkoot.engines.federation.engine import Federation

    if not isinstance(on, Federation):
        raise DataError(
            f"data set {data.name!r} is at the sites of a federation", cure="Give on=tk.Federation(FOLDER)."
        )
    given = [name for name, value in roles.items() if value is not None]
    if given:
        raise DataError(
            f"{given[0]}= is for the sites to say when they register {data.name!r}", cure="Leave it out."
        )
    return on.shards(data, target)

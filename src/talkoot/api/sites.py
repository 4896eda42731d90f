"""Rows that are at the sites of a federation, in place of rows that are given."""

from __future__ import annotations

from typing import Any

from talkoot.core.engine import Engine
from talkoot.core.errors import DataError
from talkoot.data.shards import Shards
from talkoot.engines.federation.dataset import Dataset
from talkoot.engines.federation.engine import Federation


def shards_of_sites(data: Dataset, target: Any, on: Engine | None, **roles: Any) -> Shards:
    """A shard for each site that the federation knows.

    Raises:
        DataError: `on` is no federation, or an option that only the sites can set.
    """
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

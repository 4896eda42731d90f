"""tk.dataset: rows that sites have registered under a name; the researcher sees the name alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema
from talkoot.data.shards import Shards
from talkoot.data.tables.source import Layout, Source


@final
@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set of a federation; see `dataset`."""

    name: str


def dataset(name: str) -> Dataset:
    """Rows that sites have registered under this name, for `on=tk.Federation(...)`.

    Args:
        name: the name.

    Raises:
        DataError: it is no name.

    >>> dataset("claims")
    Dataset(name='claims')
    """
    if not name:
        raise DataError(f"{name!r:.80} is no name of a data set", cure='Write tk.dataset("claims").')
    return Dataset(name)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredShard(Source):
    """The rows that one site has registered. Only the site can read them."""

    name: str
    dataset: str
    target: str | None = None

    @property
    def rows(self) -> None:
        """Nobody but the site knows."""

    @property
    def has_target(self) -> bool:
        """Whether a target was named."""
        return self.target is not None

    def layout(self) -> Layout:
        """Only the site knows."""
        self._refuse()

    def targets(self) -> Iterator[tuple[np.ndarray | None, np.ndarray | None, int]]:
        """Only the site reads them."""
        self._refuse()

    def blocks(self) -> Iterator[Block]:
        """Only the site reads them."""
        self._refuse()

    def bind(self, schema: Schema, *, target: bool = True) -> RegisteredShard:
        """Itself: the site binds its rows."""
        del schema, target
        return self

    def deal(self, names: Sequence[str]) -> list[Source]:
        """Rows of organisations are not split."""
        del names
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise DataError(
            f"the rows of data set {self.dataset!r} stay where they are",
            node=self.name,
            cure="Give on=tk.Federation(...), and leave out what would need them here.",
        )


def registered_shards(data: Dataset, target: Any, sites: Iterable[str]) -> Shards:
    """A shard for each site.

    Raises:
        DataError: the target is not named.
    """
    if not isinstance(target, str | None):
        raise DataError("target= is an array, and the rows are at the sites", cure="Name a column.")
    made = {name: RegisteredShard(name=name, dataset=data.name, target=target) for name in sites}
    if not made:
        raise DataError(
            "no site is known to the coordinator so far", cure="Have sites started: talkoot site run FOLDER."
        )
    return Shards(made, target=target)

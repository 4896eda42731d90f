"""tk.dataset: rows that sites have registered under a name; the researcher sees the name alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema
from talkoot.data.fixes import Fix
from talkoot.data.shards import Shards
from talkoot.data.tables.source import Layout, Source


@final
@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set of a federation; see `dataset`."""

    name: str
    classes: tuple[Any, ...] = ()
    fixes: tuple[Fix, ...] = ()


def dataset(name: str, *, classes: Iterable[Any] = (), fixes: Sequence[Fix] = ()) -> Dataset:
    """Rows that sites have registered under this name, for `on=tk.Federation(...)`.

    Args:
        name: the name.
        classes: the classes of the target, for a classifier. Sites then report none, and one that has another
            class refuses; without them, sites report the classes that enough of their rows have.
        fixes: what sites change in their columns first, as agreed after a check; see `fix`.

    Raises:
        DataError: it is no name, or these are no classes.

    >>> dataset("claims", classes=["paid", "fraud"])
    Dataset(name='claims', classes=('fraud', 'paid'), fixes=())
    """
    if not name:
        raise DataError(f"{name!r:.80} is no name of a data set", cure='Write tk.dataset("claims").')
    if not all(isinstance(each, Fix) for each in fixes):
        raise DataError("fixes= lists what tk.fix() makes", cure='Write fixes=[tk.fix("age", missing=[-9])].')
    return Dataset(name, _classes(classes), tuple(fixes))


def _classes(given: Iterable[Any]) -> tuple[Any, ...]:
    """Declared classes in order: numbers or texts, at least two, each once."""
    values = () if isinstance(given, str) else tuple(given)
    texts = [isinstance(value, str) for value in values]
    whole = [
        isinstance(value, int | float | np.number | np.bool_) and float(value) % 1 == 0 for value in values
    ]
    alike = all(texts) or all(whole)
    if (isinstance(given, str) or values) and not (alike and len(set(values)) == len(values) > 1):
        raise DataError(
            f"classes={given!r:.80} are no classes",
            cure='List each once, all whole numbers or all text: classes=[0, 1] or classes=["no", "yes"].',
        )
    return tuple(np.unique(np.array(values)).tolist()) if values else ()


def declared_classes(shards: Shards) -> tuple[Any, ...]:
    """The classes of the target that the researcher has declared; none for rows that are here."""
    first = next(iter(shards.values()), None)
    return first.classes if isinstance(first, RegisteredShard) else ()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredShard(Source):
    """The rows that one site has registered. Only the site can read them."""

    name: str
    dataset: str
    target: str | None = None
    classes: tuple[Any, ...] = ()
    fixes: tuple[Fix, ...] = ()

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
    names = tuple(sites)
    odd = [name for each in data.fixes for name in each.at if name not in names]
    if odd and names:
        raise DataError(f"a fix is for the site {odd[0]!r}", cure=f"The sites are {', '.join(names)}.")
    one = RegisteredShard(name="", dataset=data.name, target=target, classes=data.classes, fixes=data.fixes)
    made = {name: replace(one, name=name) for name in names}
    if not made:
        raise DataError(
            "no site is known to the coordinator so far", cure="Have sites started: talkoot site run FOLDER."
        )
    return Shards(made, target=target)

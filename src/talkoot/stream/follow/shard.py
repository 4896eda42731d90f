"""A node's share of a stream: the partitions that it owns, and where it stores how far it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from talkoot.core.errors import PlanError
from talkoot.core.shard import Block, Shard
from talkoot.stream.sinks.sink import Sink
from talkoot.stream.sources.source import Source


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StreamShard(Shard):
    """Partitions of a source, with a cursor that is stored.

    Args:
        name: the node's name.
        source: the stream.
        partitions: those that the node owns.
        store: the folder of the stores of all nodes.
        sink: where predictions and changes are written, if anywhere.
        run: what the names of outputs begin with; another one for each store.
        labels: the stream of labels, where they come later.
        label_partitions: its partitions that the node owns.
    """

    name: str
    source: Source
    partitions: tuple[str, ...]
    store: Path
    sink: Sink | None = None
    run: str = ""
    labels: Source | None = None
    label_partitions: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The node's own store."""
        return self.store / f"{self.name}.sqlite"

    @property
    def rejected(self) -> Path:
        """The file of rows that could not be read."""
        return self.store / f"{self.name}.rejected.jsonl"

    def blocks(self) -> Iterator[Block]:
        """None: rows of a stream come once.

        Raises:
            PlanError: always.
        """
        raise PlanError(
            "the rows of a stream come once, so they cannot be read in passes",
            cure="Follow it with tk.follow(...).",
        )


def owners(source: Source, partitions: Sequence[str], nodes: int, known: Mapping[str, int]) -> dict[str, int]:
    """The number of the node that owns each partition: as before, and new ones where there are the fewest.

    Raises:
        PlanError: there are fewer partitions than nodes.

    >>> from talkoot.stream.sources.memory import Memory
    >>> owners(Memory({}), ["a", "b", "c", "d"], 2, {"a": 0, "c": 1, "d": 0})
    {'a': 0, 'c': 1, 'd': 0, 'b': 1}
    """
    found = dict(known)
    for partition in partitions:
        if partition not in found:
            sizes = [sum(owner == node for owner in found.values()) for node in range(nodes)]
            found[partition] = sizes.index(min(sizes))
    if len(found) < nodes:
        raise PlanError(
            f"{nodes} nodes cannot share {len(found)} partitions of {source!r}: each needs its own",
            cure=f"Take nodes={max(1, len(found))}, or write the stream with more partitions.",
        )
    return found


def shared_out(
    source: Source, nodes: int, store: Path, known: Mapping[str, int]
) -> tuple[Mapping[str, StreamShard], dict[str, int], list[str]]:
    """The shards of nodes, the owner of each partition, and the partitions that are not there now.

    Args:
        source: the stream.
        nodes: how many.
        store: the folder of the stores of all nodes.
        known: the owner of each partition so far.

    Raises:
        PlanError: there are fewer partitions than nodes.
    """
    partitions = source.partitions()
    owned = owners(source, partitions, nodes, known)
    shares = [tuple(each for each in partitions if owned[each] == number) for number in range(nodes)]
    shards = {
        f"node{number}": StreamShard(name=f"node{number}", source=source, partitions=share, store=store)
        for number, share in enumerate(shares)
    }
    return shards, owned, [name for name in owned if name not in partitions]


def with_labels(shards: Mapping[str, StreamShard], labels: Source) -> Mapping[str, StreamShard]:
    """The shards with the partitions that have the labels of their rows.

    Raises:
        PlanError: there are several nodes, and the partitions of labels are not named as those of rows.
    """
    partitions = labels.partitions()
    if len(shards) == 1:
        return {
            name: replace(one, labels=labels, label_partitions=partitions) for name, one in shards.items()
        }
    rows = sorted(name for one in shards.values() for name in one.partitions)
    if sorted(partitions) != rows:
        raise PlanError(
            f"labels have the partitions {', '.join(sorted(partitions))}, and rows {', '.join(rows)}: a node "
            "needs the labels of its own rows",
            cure="Write the labels of a partition's rows to a partition of the same name, or take nodes=1.",
        )
    return {
        name: replace(one, labels=labels, label_partitions=one.partitions) for name, one in shards.items()
    }

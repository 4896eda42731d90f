"""A node's share of a stream: the partitions that it owns, and where it stores how far it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def shared_out(source: Source, nodes: int, store: Path) -> Mapping[str, StreamShard]:
    """The shards of nodes, partitions dealt in turn.

    Raises:
        PlanError: there are fewer partitions than nodes.
    """
    partitions = source.partitions()
    if len(partitions) < nodes:
        raise PlanError(
            f"{nodes} nodes cannot share {len(partitions)} partitions of {source!r}: each needs its own",
            cure=f"Take nodes={max(1, len(partitions))}, or write the stream with more partitions.",
        )
    names = [f"node{number}" for number in range(nodes)]
    return {
        name: StreamShard(name=name, source=source, partitions=partitions[at::nodes], store=store)
        for at, name in enumerate(names)
    }


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

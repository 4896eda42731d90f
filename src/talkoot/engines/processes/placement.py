"""What is placed on workers: shards once, then plans; large arrays lie in shared memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from talkoot.core.engine import Emit, View
from talkoot.core.errors import DataError, PlanError
from talkoot.core.plan import Plan
from talkoot.core.run import NodeState
from talkoot.core.shard import Shard
from talkoot.data.tables.source import Source
from talkoot.engines.processes import wire
from talkoot.engines.processes.edited import MODULES
from talkoot.engines.processes.memory import LARGE, Place, Shelf
from talkoot.engines.processes.messages import Load, Packed, PlacePlan, Setting, Surroundings

SHELF = Shelf()
os.register_at_fork(after_in_child=SHELF.clear)
PlaceBuffers = Callable[[Sequence[memoryview]], list[Place]]
_INSTEAD = "Keep open files, locks and connections out of it, or run on Inline()."


@final
@dataclass(frozen=True, slots=True, eq=False)
class Serialized:
    """A pickled object, with large buffers where workers can read them."""

    stream: bytes  # the pickle
    buffers: tuple[bytes | Place, ...]  # those beside it: bytes, or a place in a segment

    def packed(self, segments: dict[Any, int]) -> Packed:
        """It for a message that lends segments, numbered in the order in which they are first used."""
        return self.stream, tuple(_numbered(buffer, segments) for buffer in self.buffers)


@final
@dataclass(frozen=True, slots=True, eq=False)
class ShardPlacement:
    """The shards, dealt out once when nodes are opened."""

    shards: Mapping[str, Serialized]  # each node's
    sizes: Mapping[str, int]  # for each node its rows where all know them, else the bytes of its shard
    changed: tuple[str, ...] = ()  # the user's modules that workers must not take from their imports

    @classmethod
    def pack(cls, shards: Mapping[str, Shard], place: PlaceBuffers = SHELF.place) -> ShardPlacement:
        """Pickle the shards, and `place` large buffers where workers can read them.

        Raises:
            DataError: a shard does not pickle.
        """
        with MODULES.sent() as changed:
            dumped = [_dumped_shard(node, shard) for node, shard in shards.items()]
        rows = [shard.rows if isinstance(shard, Source) else None for shard in shards.values()]
        known = [count for count in rows if count is not None]
        weights = known if len(known) == len(rows) else [thing.size for thing in dumped]
        placed = dict(zip(shards, _serialized(dumped, place), strict=True))
        return cls(placed, dict(zip(shards, weights, strict=True)), changed)

    def load(self, nodes: Sequence[str], setting: Surroundings) -> tuple[Load, list[Any]]:
        """The message that places the shards of `nodes` on a worker, and the segments that go with it."""
        segments: dict[Any, int] = {}
        shards = {node: self.shards[node].packed(segments) for node in nodes}
        load = Load(setting=setting, shards=shards, segments=len(segments), changed=self.changed)
        return load, list(segments)


@final
@dataclass(frozen=True, slots=True, eq=False)
class PlanPlacement:
    """A plan and a view, as workers get them."""

    pair: Serialized  # both
    changed: tuple[str, ...] = ()  # the user's modules that workers must not take from their imports

    @classmethod
    def pack(cls, plan: Plan, view: View | None, place: PlaceBuffers = SHELF.place) -> PlanPlacement:
        """Pickle both, and place what is large.

        Raises:
            PlanError: they do not pickle.
        """
        with MODULES.sent() as changed:
            try:
                dumped = wire.dump((plan, view))
            except Exception as error:
                cause = f"the plan cannot go to worker processes: {error}"
                raise PlanError(cause, cure=_INSTEAD) from error
        return cls(_serialized([dumped], place)[0], changed)

    def message(self, states: Mapping[str, NodeState]) -> tuple[PlacePlan, list[Any]]:
        """The message for a worker whose nodes have these states, and the segments that go with it."""
        segments: dict[Any, int] = {}
        pair, held = self.pair.packed(segments), wire.dump(dict(states))
        message = PlacePlan(
            pair=pair,
            states=(held.stream, tuple(map(bytes, held.buffers))),
            segments=len(segments),
            changed=self.changed,
        )
        return message, list(segments)


def note_changed(changed: Iterable[str], emit: Emit) -> None:
    """Say which modules were sent as they are here, if any were."""
    modules = sorted(set(changed))
    if modules:
        names = ", ".join(map(repr, modules))
        text = (
            f"workers got {names} as imported in this process: edited or reloaded since workers "
            "first used it, or built on such a module"
        )
        emit("note", {"text": text, "modules": modules})


def setting() -> Setting:
    """The folder, module path and environment of this process."""
    return Setting(folder=os.getcwd(), path=tuple(sys.path), environ=dict(os.environ))


def deal(sizes: Mapping[str, int], workers: int) -> list[tuple[str, ...]]:
    """Nodes for each of `workers`: the largest first, each to the one that has least so far.

    >>> deal({"a": 5, "b": 1, "c": 4, "d": 2}, 2)
    [('a', 'b'), ('c', 'd')]
    """
    shares: list[set[str]] = [set() for _ in range(min(workers, len(sizes)))]
    weights = [0] * len(shares)
    for node in sorted(sizes, key=lambda name: -sizes[name]):
        least = weights.index(min(weights))
        shares[least].add(node)
        weights[least] += sizes[node] + 1
    return [tuple(node for node in sizes if node in share) for share in shares]


def _dumped_shard(node: str, shard: Shard) -> wire.Pickled:
    try:
        return wire.dump(shard)
    except Exception as error:
        cause = f"its rows cannot go to a worker process: {error}"
        raise DataError(cause, node=node, cure=_INSTEAD) from error


def _serialized(dumped: Sequence[wire.Pickled], place: PlaceBuffers) -> list[Serialized]:
    large = [buffer for thing in dumped for buffer in thing.buffers if buffer.nbytes >= LARGE]
    places = iter(place(large))
    return [
        Serialized(
            thing.stream,
            tuple(next(places) if buffer.nbytes >= LARGE else bytes(buffer) for buffer in thing.buffers),
        )
        for thing in dumped
    ]


def _numbered(buffer: bytes | Place, segments: dict[Any, int]) -> Any:
    if isinstance(buffer, bytes):
        return buffer
    return segments.setdefault(buffer.segment, len(segments)), buffer.offset, buffer.size

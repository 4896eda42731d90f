"""What is placed on workers once: the plan and the shards, dealt out, with large arrays in shared memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from talkoot.core.engine import Emit
from talkoot.core.errors import DataError, PlanError
from talkoot.core.plan import Plan
from talkoot.core.run import NodeState
from talkoot.core.shard import Shard
from talkoot.data.tables.source import Source
from talkoot.engines.processes import wire
from talkoot.engines.processes.edited import MODULES
from talkoot.engines.processes.memory import LARGE, Place, Shelf
from talkoot.engines.processes.messages import Load, Packed, Setting, Surroundings

SHELF = Shelf()
os.register_at_fork(after_in_child=SHELF.clear)
_INSTEAD = "Keep open files, locks and connections out of it, or run on Inline()."


@final
@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """The plan and the shards, pickled, large buffers apart.

    Args:
        plan: its pickle and buffers.
        shards: the same for each node's shard.
        sizes: for each node its rows where all know them, else the bytes of its shard.
        changed: the user's modules that workers must not take from what they have imported.
    """

    plan: tuple[bytes, tuple[bytes | Place, ...]]
    shards: Mapping[str, tuple[bytes, tuple[bytes | Place, ...]]]
    sizes: Mapping[str, int]
    changed: tuple[str, ...] = ()

    @classmethod
    def pack(
        cls,
        plan: Plan,
        shards: Mapping[str, Shard],
        place: Callable[[Sequence[memoryview]], list[Place]] = SHELF.place,
    ) -> Placement:
        """Pickle all, and place what is large.

        Args:
            plan: goes to all workers.
            shards: each goes to one.
            place: puts buffers where workers can read them.

        Raises:
            PlanError: the plan does not pickle.
            DataError: a shard does not pickle.
        """
        with MODULES.sent() as changed:
            dumped = _dumped(plan, shards)
        first, *others = _placed(dumped, place)
        rows = [shard.rows if isinstance(shard, Source) else None for shard in shards.values()]
        known = [count for count in rows if count is not None]
        weights = known if len(known) == len(rows) else [thing.size for thing in dumped[1:]]
        sizes = dict(zip(shards, weights, strict=True))
        return cls(first, dict(zip(shards, others, strict=True)), sizes, changed)

    def note(self, emit: Emit) -> None:
        """Say which modules were sent as they are here, if any were."""
        if self.changed:
            names = ", ".join(map(repr, self.changed))
            text = (
                f"workers got {names} as imported in this process: edited or reloaded since workers "
                "first used it, or built on such a module"
            )
            emit("note", {"text": text, "modules": list(self.changed)})

    def load(
        self, nodes: Sequence[str], states: Mapping[str, NodeState], setting: Surroundings
    ) -> tuple[Load, list[Any]]:
        """The message that places `nodes` on a worker, and the segments that go with it."""
        numbers: dict[Any, int] = {}
        kept = wire.dump({node: states[node] for node in nodes if node in states})
        plan = _numbered(self.plan, numbers)
        shards = {node: _numbered(self.shards[node], numbers) for node in nodes}
        load = Load(
            setting=setting,
            plan=plan,
            shards=shards,
            states=(kept.stream, tuple(map(bytes, kept.buffers))),
            segments=len(numbers),
            changed=self.changed,
        )
        return load, list(numbers)


def setting() -> Setting:
    """The folder, module path and environment of this process."""
    return Setting(folder=os.getcwd(), path=tuple(sys.path), environ=dict(os.environ))


def deal(sizes: Mapping[str, int], hands: int) -> list[tuple[str, ...]]:
    """Nodes for each of `hands` workers: the largest first, each to the one that has least so far.

    >>> deal({"a": 5, "b": 1, "c": 4, "d": 2}, 2)
    [('a', 'b'), ('c', 'd')]
    """
    held: list[set[str]] = [set() for _ in range(min(hands, len(sizes)))]
    weights = [0] * len(held)
    for node in sorted(sizes, key=lambda name: -sizes[name]):
        least = weights.index(min(weights))
        held[least].add(node)
        weights[least] += sizes[node] + 1
    return [tuple(node for node in sizes if node in hand) for hand in held]


def _dumped(plan: Plan, shards: Mapping[str, Shard]) -> list[wire.Pickled]:
    try:
        dumped = [wire.dump(plan)]
    except Exception as error:
        raise PlanError(f"the plan cannot go to worker processes: {error}", cure=_INSTEAD) from error
    for node, shard in shards.items():
        try:
            dumped.append(wire.dump(shard))
        except Exception as error:
            cause = f"its rows cannot go to a worker process: {error}"
            raise DataError(cause, node=node, cure=_INSTEAD) from error
    return dumped


def _placed(
    dumped: Sequence[wire.Pickled], place: Callable[[Sequence[memoryview]], list[Place]]
) -> list[tuple[bytes, tuple[bytes | Place, ...]]]:
    large = [buffer for thing in dumped for buffer in thing.buffers if buffer.nbytes >= LARGE]
    places = iter(place(large))
    return [
        (
            thing.stream,
            tuple(next(places) if buffer.nbytes >= LARGE else bytes(buffer) for buffer in thing.buffers),
        )
        for thing in dumped
    ]


def _numbered(packed: tuple[bytes, tuple[bytes | Place, ...]], numbers: dict[Any, int]) -> Packed:
    stream, pieces = packed
    return stream, tuple(_number(piece, numbers) for piece in pieces)


def _number(piece: bytes | Place, numbers: dict[Any, int]) -> Any:
    if isinstance(piece, bytes):
        return piece
    number = numbers.setdefault(piece.segment, len(numbers))
    return number, piece.offset, piece.size

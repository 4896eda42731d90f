"""Python objects of all ranks, gathered or broadcast; ranks unpickle each other's messages."""

from __future__ import annotations

from typing import Any

from talkoot.engines.processes import wire
from talkoot.engines.ranks.collectives.group import Peers


def all_gather_object(group: Peers, value: Any) -> list[Any]:
    """The values of all ranks, by rank."""
    return [wire.unpacked(data) for data in group.all_gather(wire.packed(value))]


def broadcast_object(group: Peers, value: Any, source: int) -> Any:
    """The value of rank `source`, at all ranks; the values of the others are not sent."""
    sends = group.rank == source
    sent = group.all_gather(wire.packed(value) if sends else b"")
    return value if sends else wire.unpacked(sent[source])

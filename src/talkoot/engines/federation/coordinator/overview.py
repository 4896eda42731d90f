"""What a coordinator shows of itself: sites, runs and the rounds that stand; nothing of models or rows."""

from __future__ import annotations

from typing import Any

import msgspec

from talkoot.core.errors import DataError
from talkoot.engines.federation.consent.proposal import from_bytes
from talkoot.engines.federation.coordinator.coordinator import Coordinator
from talkoot.engines.federation.coordinator.room import Room


async def overview(coordinator: Coordinator) -> dict[str, Any]:
    """Plain facts, as they are at this moment."""
    known = {*coordinator.records.roster.certificates(), *coordinator.sites, *(coordinator.listed or ())}
    runs = sorted(coordinator.rooms.values(), key=lambda room: room.proposed.since)
    return {
        "now": coordinator.clock(),
        "sites": {name: _site(coordinator, name) for name in sorted(known)},
        "runs": [_run(room) for room in runs],
    }


def _site(coordinator: Coordinator, name: str) -> dict[str, Any]:
    exchange = coordinator.sites.get(name)
    connected = exchange is not None and exchange.connected
    return {"connected": connected, "since": coordinator.since.get(name)}


def _run(room: Room) -> dict[str, Any]:
    """Where a run stands."""
    under_way = room.under_way
    return {
        "run": room.run,
        "researcher": room.proposed.researcher,
        "since": room.proposed.since,
        "here": room.researcher is not None and room.researcher.connected,
        "sites": {name: msgspec.structs.asdict(found) for name, found in room.standings().items()},
        "decided": {name: decision.at for name, decision in room.decisions.items()},
        "round": None if under_way is None else under_way.head.index,
        "phase": None if under_way is None else under_way.head.phase,
        "began": None if under_way is None else under_way.since,
        "left": room.seconds_left,
        **_purpose(room),
    }


def _purpose(room: Room) -> dict[str, str]:
    """What the proposal says of itself; nothing where it cannot be read: sites refuse it then."""
    try:
        found = from_bytes(room.proposed.propose.proposal)
    except DataError:
        return {"kind": "", "dataset": "", "purpose": ""}
    return {"kind": found.kind, "dataset": found.dataset, "purpose": found.purpose}

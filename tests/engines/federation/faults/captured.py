"""Programs that show more: a coordinator writes down all that it receives, a site raises errors with rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from talkoot.engines.federation.link import messages

COMMAND = (
    "import sys, captured; captured.prepare(sys.argv[-1]); from talkoot.cli import main; sys.exit(main())"
)
RECEIVED = (
    "received"  # a file of the coordinator: each message that it has received, decrypted, behind its size
)


def prepare(folder: str) -> None:
    """Before anything that reads messages is imported."""
    place = Path(folder)
    if (place / "coordinator.toml").exists():
        _record(place / RECEIVED)
    else:
        _raise(place)


def _record(path: Path) -> None:
    decode = messages.decode

    def recorded(data: bytes) -> messages.Message:
        with path.open("ab") as out:
            out.write(len(data).to_bytes(8) + data)
        return decode(data)

    messages.decode = recorded


def _raise(place: Path) -> None:
    """Have a site raise an error that holds rows in each phase for which there is a file `raise-PHASE`."""
    from talkoot.engines.federation.site import worker

    work = vars(worker)["work"]

    def raising(plan: Any, question: Any, shard: Any, state: Any, rnd: Any) -> Any:
        if (place / f"raise-{rnd.phase}").exists():
            rows = next(iter(shard.blocks())).X
            raise ValueError(f"{rows[0].tolist()} and {rows[1].tobytes()!r} cannot be read")
        return work(plan, question, shard, state, rnd)

    vars(worker)["work"] = raising


def received(folder: Path) -> list[bytes]:
    """The messages that a coordinator has received, and the frames that were in their chunks."""
    data, found, frames = (folder / RECEIVED).read_bytes(), list[bytes](), dict[bytes, bytearray]()
    while data:
        size = int.from_bytes(data[:8])
        found.append(data[8 : 8 + size])
        data = data[8 + size :]
        message = messages.decode(found[-1])
        if isinstance(message, messages.Chunk):
            frame = frames.setdefault(message.digest, bytearray())
            frame[message.offset : message.offset + message.data.nbytes] = message.data
    return found + [bytes(frame) for frame in frames.values()]

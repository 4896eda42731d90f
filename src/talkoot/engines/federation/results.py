"""What came of a round, as bytes: who arrived, who failed and why, and the sum, or what each sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from talkoot.core.errors import DataError, TalkootError
from talkoot.core.round import Merged
from talkoot.core.update import Update
from talkoot.formats.answers import answer_from_bytes, answer_to_pieces
from talkoot.formats.frames import from_bytes, to_pieces


def result_to_bytes(merged: Merged, keys: Mapping[str, bytes]) -> bytes:
    """What came of a round as one frame.

    Args:
        merged: what came of it.
        keys: which round each site has answered that arrived: this one, or an earlier one if it was late.
    """
    parts: list[Update | TalkootError] = [*merged.failed.values()]
    parts += [merged.update] if merged.each is None else merged.each.values()
    data = {
        "arrived": {site: keys[site] for site in merged.arrived},
        "failed": list(merged.failed),
        "each": None if merged.each is None else list(merged.each),
        "seconds": dict(merged.seconds),
    }
    return b"".join(to_pieces(data, [answer_to_pieces(part) for part in parts]))


def result_from_bytes(frame: Any) -> tuple[Merged, Mapping[str, bytes]]:
    """What came of a round, and which round each site has answered that arrived.

    Raises:
        DataError: the frame holds something else.
    """
    match from_bytes(frame):
        case (
            {
                "arrived": dict() as arrived,
                "failed": list() as failed,
                "each": list() | None as each,
                "seconds": dict() as seconds,
            },
            buffers,
        ) if len(buffers) == len(failed) + (1 if each is None else len(each)):
            parts = [answer_from_bytes(buffer) for buffer in buffers]
        case _:
            raise DataError("this is no result of a round")
    errors = dict(zip(failed, parts[: len(failed)], strict=True))
    updates = [part for part in parts[len(failed) :] if isinstance(part, Update)]
    merged = Merged(
        update=updates[0] if each is None else Update(),
        each=None if each is None else dict(zip(each, updates, strict=True)),
        arrived=tuple(arrived),
        failed={node: error for node, error in errors.items() if isinstance(error, TalkootError)},
        seconds=seconds,
    )
    return merged, arrived

"""A node's own state as bytes, for its journal: what a restarted site goes on from."""

from __future__ import annotations

from collections.abc import Mapping

from talkoot.core.errors import PlanError, TalkootError
from talkoot.core.plan import Plan
from talkoot.core.run import NodeState
from talkoot.core.update import Update
from talkoot.formats import tensors
from talkoot.formats.answers import TYPES as PACKED
from talkoot.formats.frames import from_bytes, to_bytes
from talkoot.formats.names import by_name
from talkoot.formats.values import Decoder, Encoder
from talkoot.guards.mask.messages import PublicKeys
from talkoot.guards.mask.node import RoundState


def _types(plan: Plan) -> Mapping[str, type]:
    return {**PACKED, **by_name((NodeState, Update, RoundState, PublicKeys, *plan.learner.question_types))}


def state_to_bytes(state: NodeState, plan: Plan) -> bytes | None:
    """What of a state another process needs; None if it cannot be written, or nothing is needed."""
    portable = state.portable(plan)
    if portable is None:
        return None
    encoder = Encoder(types=_types(plan), other=tensors.encode)
    try:
        return to_bytes(encoder.encode(portable), encoder.buffers)
    except PlanError:
        return None


def state_from_bytes(frame: bytes | None, plan: Plan) -> NodeState | None:
    """The state; None if there is none that this process can read."""
    if frame is None:
        return None
    try:
        data, buffers = from_bytes(frame)
        found = Decoder(buffers, types=_types(plan), others={"tensor": tensors.decode}).decode(data)
    except TalkootError:
        return None
    return found if isinstance(found, NodeState) else None

"""What goes to the nodes in a round, as data: the round, and what its learner asks of them.

A question is made of the types that its learner lists in `question_types`, so a node reads nothing but what
its plan can ask. Fitted estimators are skops, as in files.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

from talkoot.core.context import LocalWork
from talkoot.core.errors import DataError
from talkoot.core.plan import Plan
from talkoot.core.round import Meeting, Round
from talkoot.core.shard import Schema
from talkoot.formats import estimators, tensors
from talkoot.formats.frames import from_bytes, to_bytes
from talkoot.formats.names import by_name
from talkoot.formats.values import Decoder, Encoder, Others, Types

VERSION = 1


def question_to_bytes(rnd: Round, question: Any, plan: Plan) -> bytes:
    """A round and its question as one frame.

    Raises:
        PlanError: something in it cannot travel; it is named.

    >>> import numpy as np, talkoot as tk
    >>> from sklearn.preprocessing import StandardScaler
    >>> plan = tk.Plan(tk.learner_for(StandardScaler()))
    >>> point = tk.fit(StandardScaler(), np.eye(3)).run.point
    >>> frame = question_to_bytes(Round(index=3), plan.learner.question(point), plan)
    >>> rnd, question = question_from_bytes(frame, plan)
    >>> rnd.index, question.round(2).tolist()
    (3, [0.33, 0.33, 0.33])
    """
    encoder = Encoder(types=_types(plan), other=_other)
    data = {"version": VERSION, "round": encoder.encode(rnd), "question": encoder.encode(question)}
    return to_bytes(data, encoder.buffers)


def question_from_bytes(frame: Any, plan: Plan, *, trusted: Collection[str] = ()) -> tuple[Round, Any]:
    """The round and the question of a frame.

    Args:
        frame: what `question_to_bytes` made.
        plan: the plan that the node has.
        trusted: import names of functions in fitted estimators that may be imported.

    Raises:
        DataError: it is damaged, or holds what the plan's learner does not ask.
    """
    data, buffers = from_bytes(frame)
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise DataError(f"this is no question, or not of version {VERSION}")
    others: Others = {
        "fitted": partial(estimators.decode_fitted, trusted=trusted),
        "tensor": tensors.decode,
    }
    decoder = Decoder(buffers, types=_types(plan), others=others)
    rnd, question = decoder.decode(data.get("round")), decoder.decode(data.get("question"))
    if not isinstance(rnd, Round):
        raise DataError("a question needs a round")
    return rnd, question


def _types(plan: Plan) -> Types:
    return by_name((Round, Meeting, LocalWork, Schema, *plan.learner.question_types))


def _other(value: Any, encoder: Encoder) -> Any:
    return tensors.encode(value, encoder) or estimators.encode_fitted(value, encoder)

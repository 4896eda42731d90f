"""How nodes look at their rows, as data: a closed set of views, by name, with their parameters.

A view that nodes of this process share has a key by which they know it again. Other nodes take it from the
content, so that equal views are equal wherever they were made.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from talkoot.core.engine import View
from talkoot.core.errors import DataError, PlanError
from talkoot.core.shard import Schema
from talkoot.data.schema import Bind
from talkoot.formats.frames import to_bytes
from talkoot.formats.names import by_name
from talkoot.formats.values import Decoder, Encoder
from talkoot.learners.held_out.folds import Folds, TrainingRows

TYPES = by_name((Schema, Bind, Folds, TrainingRows))


def view_to_data(view: View | None, encoder: Encoder) -> Any:
    """A view as data.

    Raises:
        PlanError: it is none of those that travel.
    """
    match view:
        case None | Bind() | TrainingRows(view=Bind()):
            return encoder.encode(view and _with_key(view, ""))
    raise PlanError(
        f"a view of rows by {getattr(view, '__qualname__', type(view).__name__)} cannot travel",
        cure="Keep to views of all rows by the schema, and of those without a fold.",
    )


def view_from_data(data: Any, decoder: Decoder) -> View | None:
    """The view that data describe.

    Raises:
        DataError: it is none of those that travel.
    """
    view = decoder.decode(data)
    match view:
        case None:
            return None
        case Bind() | TrainingRows(view=Bind()):
            encoder = Encoder(types=TYPES)
            content = encoder.encode(view if isinstance(view, Bind) else view.view)
            return _with_key(view, hashlib.sha256(to_bytes(content, encoder.buffers)).hexdigest())
    raise DataError(f"the view is a {type(view).__name__}, or one of other rows")


def _with_key(view: Any, key: str) -> View:
    """A view whose schema is known again by a key."""
    if isinstance(view, TrainingRows):
        return replace(view, view=_with_key(view.view, key))
    keyed: Bind = replace(view, key=key)
    return keyed

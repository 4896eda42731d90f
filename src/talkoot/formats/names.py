"""What may be sent: types by name and fields, and objects by the name that both sides have given them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from talkoot.core.errors import DataError, PlanError
from talkoot.formats.values import Types

Registered = Mapping[str, Any]  # name -> an object, or a dataclass whose instances travel by their fields
REGISTER = 'Register it under one name at both sides: registered={"name": it}.'


def by_name(kinds: Iterable[type]) -> Types:
    """Types by their names.

    Raises:
        PlanError: two have the same name.

    >>> by_name([int, str])
    {'int': <class 'int'>, 'str': <class 'str'>}
    """
    found: dict[str, type] = {}
    for kind in kinds:
        if found.setdefault(kind.__name__, kind) is not kind:
            raise PlanError(f"two types are called {kind.__name__}", cure="Rename one of them.")
    return found


def registered_types(registered: Registered) -> Types:
    """Those of the registered things that are types."""
    return {name: kind for name, kind in registered.items() if isinstance(kind, type)}


def encode(value: Any, registered: Registered) -> Any:
    """Data of a registered object; None for others."""
    names = [name for name, known in registered.items() if known is value]
    return {"$": "registered", "name": names[0]} if names else None


def decode(data: Mapping[str, Any], registered: Registered) -> Any:
    """The object that is registered here under the name in `data`.

    Raises:
        DataError: there is none.
    """
    if data["name"] not in registered:
        raise DataError(f"{data['name']!r:.80} is not registered here", cure=REGISTER)
    return registered[data["name"]]

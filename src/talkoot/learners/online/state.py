"""What a model has learned, as flat arrays by name: stored, compared and sent as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

State: TypeAlias = dict[str, np.ndarray[Any, Any]]
"""Arrays by name, which kernels change in place. Bytes are uint8, counters of random numbers uint64."""


def copied(state: Mapping[str, np.ndarray[Any, Any]]) -> State:
    """A state of its own with the same values.

    >>> before = {"weights": np.zeros(2)}
    >>> after = copied(before)
    >>> after["weights"] += 1
    >>> before["weights"]
    array([0., 0.])
    """
    return {name: array.copy() for name, array in state.items()}


def under(state: Mapping[str, np.ndarray[Any, Any]], prefix: str) -> State:
    """The part of a state whose names begin with `prefix`, without it; the arrays are shared.

    >>> under({"model/n": np.ones(1), "drift/n": np.ones(1)}, "model/")
    {'n': array([1.])}
    """
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}


def placed(state: Mapping[str, np.ndarray[Any, Any]], prefix: str) -> State:
    """A state as a part of a larger one: `prefix` before each name; the arrays are shared.

    >>> placed({"n": np.ones(1)}, "model/")
    {'model/n': array([1.])}
    """
    return {prefix + name: array for name, array in state.items()}


def replace_under(state: State, prefix: str, part: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Put `part` where `under` found it, for parts that may have new or other arrays.

    >>> whole = {"model/n": np.ones(1), "rows": np.ones(1)}
    >>> replace_under(whole, "model/", {"m": np.zeros(1)})
    >>> sorted(whole)
    ['model/m', 'rows']
    """
    for name in [name for name in state if name.startswith(prefix) and name.removeprefix(prefix) not in part]:
        del state[name]
    state.update(placed(part, prefix))


def equal(one: Mapping[str, np.ndarray[Any, Any]], other: Mapping[str, np.ndarray[Any, Any]]) -> bool:
    """Whether two states are the same to the last bit.

    >>> equal({"n": np.array([np.nan])}, {"n": np.array([np.nan])})
    True
    >>> equal({"n": np.array([0.0])}, {"n": np.array([-0.0])})
    False
    """
    return one.keys() == other.keys() and all(
        array.dtype == other[name].dtype
        and array.shape == other[name].shape
        and array.tobytes() == other[name].tobytes()
        for name, array in one.items()
    )

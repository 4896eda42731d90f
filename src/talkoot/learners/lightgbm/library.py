"""Functions of LightGBM's C interface that its Python package does not show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def call(name: str, *given: Any) -> None:
    """Call a function.

    Raises:
        LightGBMError: it failed.
    """
    from lightgbm import basic

    basic._safe_call(getattr(vars(basic)["_LIB"], name)(*given))


def text_of(params: Mapping[str, Any]) -> bytes:
    """Parameters as LightGBM reads them."""
    from lightgbm.basic import _param_dict_to_str

    return str(_param_dict_to_str(dict(params))).encode()

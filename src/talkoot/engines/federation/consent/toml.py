"""Files that people write: read strictly, so that a typing error never loosens a rule."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import msgspec

from talkoot.core.errors import DataError, TalkootError

S = TypeVar("S", bound=msgspec.Struct)


def load(path: Path, kind: type[S]) -> S:
    """The settings in a file of TOML.

    Raises:
        DataError: there is no such file, it is no TOML, or a key or a value in it is wrong; it is named.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors may put a mark before the text
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or "it is not UTF-8"
        raise DataError(
            f"{path} cannot be read: {cause}", cure=f"Write {path.name}; docs/federation.md has one."
        ) from None
    try:
        return msgspec.toml.decode(text, type=kind)
    except TalkootError as error:
        raise DataError(f"{path}: {error.cause}", cure=error.cure) from None
    except (msgspec.DecodeError, ValueError) as error:
        raise DataError(f"{path}: {error}", cure=_cure(str(error), kind)) from None


def _cure(text: str, kind: type[msgspec.Struct]) -> str:
    """The key that was meant, where an unknown one is much like it."""
    unknown = re.search(r"unknown field `([^`]*)`", text)
    known = [field.name for field in msgspec.structs.fields(kind)]
    near = get_close_matches(unknown[1], known, n=1) if unknown else []
    return f"Did you mean {near[0]!r}?" if near else f"The keys are {', '.join(known)}."

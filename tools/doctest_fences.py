"""A griffe extension: doctests in docstrings are shown as code, without a section header for each."""

from __future__ import annotations

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"(?:^|(?<=\n))(>>> .*?)(?=\n\s*\n|\Z)", re.DOTALL)


class DoctestFences(griffe.Extension):
    """Puts a fence around every block that starts with a prompt."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for every object that is documented."""
        if obj.docstring is not None:
            obj.docstring.value = EXAMPLE.sub(r"```pycon\n\1\n```", obj.docstring.value)

"""The Python in pages of the documentation, run as one program."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]


@cache
def program(page: str) -> Any:
    """The module that the code of a page makes; errors show the page's own lines.

    Blocks with prompts are examples of their own, for doctest.
    """
    text = (ROOT / page).read_text()
    module = ModuleType(Path(page).stem)
    sys.modules[module.__name__] = module  # dataclasses look there
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if block[1].startswith(">>>"):
            continue
        lines = text.count("\n", 0, block.start(1))
        exec(compile("\n" * lines + block[1], str(ROOT / page), "exec"), vars(module))
    return module


def only_bytes(registered: Mapping[str, Any] | None = None) -> Any:
    """The engine of docs/extending.md, whose nodes only bytes reach; the first call runs the page."""
    return program("docs/extending.md").Bytes(registered or {})


def lengths(page: str) -> list[int]:
    """The number of lines of code of each example in a page."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    return [sum(bool(line.strip()) for line in block.splitlines()) for block in blocks]

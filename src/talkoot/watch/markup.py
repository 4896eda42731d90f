"""HTML and SVG elements whose text is always escaped."""

from __future__ import annotations

from html import escape
from typing import final


@final
class Safe(str):
    """Text that is markup, so it is not escaped again."""

    __slots__ = ()


Child = str | float | None


def tag(name: str, *children: Child, **attributes: Child) -> Safe:
    """An element of HTML or SVG.

    Args:
        name: of the element.
        children: `Safe` markup is taken as it is, other text is escaped, None is left out.
        attributes: ``stroke_width=2`` becomes ``stroke-width="2"``, ``class_="x"`` becomes ``class="x"``;
            None is left out.

    >>> tag("text", "<b>", x=1.50, text_anchor="end")
    '<text x="1.5" text-anchor="end">&lt;b&gt;</text>'
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Safe(f"<{name}{shown}>{join(*children)}</{name}>")


def join(*children: Child) -> Safe:
    """Pieces of markup one after the other.

    >>> join("a < b", tag("i", "c"), None)
    'a &lt; b<i>c</i>'
    """
    return Safe("".join(c if isinstance(c, Safe) else escape(_text(c)) for c in children if c is not None))


def _text(value: Child) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)

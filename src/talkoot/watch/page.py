"""The HTML page of a report, in one file: its styles, sections and tables."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from talkoot.watch.events import unwritable
from talkoot.watch.markup import Child, Safe, join, tag


def style(name: str) -> Safe:
    """A style sheet of this package."""
    return Safe((files(__package__) / f"{name}.css").read_text())


def page(title: str, *parts: Child, refresh: int | None = None) -> str:
    """A whole document, without scripts and without external addresses.

    Args:
        title: of the window.
        parts: of the page.
        refresh: seconds until it reloads itself, if it does.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = join(
        Safe('<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'),
        Safe(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        None if refresh is None else Safe(f'<meta http-equiv="refresh" content="{refresh}">'),
        tag("title", title),
        tag("style", style("drawn"), style("page")),
    )
    return f"<!doctype html>\n{tag('html', tag('head', head), tag('body', tag('main', *parts)), lang='en')}\n"


def write_page(text: str, path: Path, what: str) -> Path:
    """Write a page; its folders are made.

    Args:
        text: the document.
        path: where.
        what: it is, such as "the report".

    Raises:
        DataError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise unwritable(what, path, error) from error
    return path


def section(title: str, *parts: Child) -> Safe:
    """A part of the page under its heading."""
    return tag("section", tag("h2", title), *parts)


def table(heads: list[str], rows: list[list[Child]], numbers: tuple[int, ...] = ()) -> Safe:
    """A table whose columns `numbers` are aligned to the right."""

    def row(name: str, cells: list[Child] | list[str]) -> Safe:
        return tag("tr", *(tag(name, c, class_="n" if i in numbers else None) for i, c in enumerate(cells)))

    return tag("table", tag("thead", row("th", heads)), tag("tbody", *(row("td", cells) for cells in rows)))

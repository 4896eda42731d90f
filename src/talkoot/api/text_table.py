"""Tables and numbers as plain text."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def text_table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Rows of cells in columns, two spaces apart.

    Args:
        rows: cells of one line each; every row as long as the first.
        right: columns that are aligned to the right.

    >>> print(text_table([["node", "rows"], ["va", "7"]], right=[1]))
    node  rows
    va       7
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def decimals(value: float, digits: int) -> str:
    """A number with so many decimals, without a zero before the point.

    >>> decimals(0.717, 3), decimals(-0.029, 2), decimals(-0.001, 2), decimals(1.5, 1)
    ('.717', '-.03', '.00', '1.5')
    """
    text = f"{value:.{digits}f}"
    text = text.removeprefix("-") if not float(text) else text
    return text.replace("0.", ".", 1) if abs(float(text)) < 1 else text

"""Numbers, durations and names as text for people."""

from __future__ import annotations

import math
from collections.abc import Sequence


def count(number: int) -> str:
    """A whole number with commas between thousands.

    >>> count(11001)
    '11,001'
    """
    return f"{number:,}"


def many(number: int, thing: str) -> str:
    """A number of things.

    >>> many(1, "round"), many(4, "node")
    ('1 round', '4 nodes')
    """
    return f"{count(number)} {thing}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A length of time in the unit that fits it.

    >>> [duration(s) for s in (0.00021, 0.0123, 0.84, 12.31, 75, 7300)]
    ['0.2 ms', '12 ms', '0.84 s', '12.3 s', '1 min 15 s', '2 h 1 min']
    """
    if seconds < 0.1:
        return f"{1e3 * seconds:.{0 if seconds >= 0.001 else 1}f} ms"
    if seconds < 60:
        return f"{seconds:.{2 if seconds < 10 else 1}f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def roughly(seconds: float) -> str:
    """An estimated length of time, rounded to one unit.

    >>> [roughly(s) for s in (0.4, 8.2, 119, 4000)]
    ['1 s', '8 s', '2 min', '1 h']
    """
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{round(seconds / size)} {unit}"
    return f"{max(1, round(seconds))} s"


def number(value: float) -> str:
    """A number with its significant digits.

    >>> [number(v) for v in (0.69314, 16337.2, 1234567.0, 0.000012, 3.0, 0.0)]
    ['0.6931', '16,337', '1.2e+06', '1.2e-05', '3', '0']
    """
    if not math.isfinite(value):
        return "not finite"
    if 1e4 <= abs(value) < 1e6:
        return count(round(value))
    return f"{value:.4g}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.2g}"


def rate(value: float) -> str:
    """Samples per second.

    >>> rate(8912.4), rate(3.125)
    ('8,912 samples/s', '3.125 samples/s')
    """
    return f"{count(round(value)) if value >= 100 else number(value)} samples/s"


def even(numbers: Sequence[float]) -> list[str]:
    """Numbers of one axis, all with the same number of decimals.

    >>> even([0.5, 1.0, 1.75]), even([10.0, 20.0])
    (['0.50', '1.00', '1.75'], ['10', '20'])
    """
    if any(value and not 1e-3 <= abs(value) < 1e5 for value in numbers):
        return [number(value) for value in numbers]
    texts = [f"{value:.6f}".rstrip("0") for value in numbers]
    places = max((len(text.partition(".")[2]) for text in texts), default=0)
    return [f"{value:,.{places}f}" for value in numbers]


def listed(names: list[str]) -> str:
    """Names as a list with commas and "and".

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def sentence(text: str) -> str:
    """Words as a sentence.

    >>> sentence("rank 1 was killed (SIGKILL)")
    'Rank 1 was killed (SIGKILL).'
    """
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


def short(text: str, width: int) -> str:
    """Text cut to at most `width` characters, with an ellipsis.

    >>> short("Comanche Peak", 9)
    'Comanche…'
    """
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"

"""Rounds, arrays, numbers and sizes of a rehearsal, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from talkoot.engines.federation.consent.rehearsal import Leaf, Sent


def alike(sent: Sequence[Sent]) -> Iterator[list[Sent]]:
    """Rounds one after the other in which the same leaves."""
    leaders: list[Sent] = []
    for one in sent:
        if not leaders or not one.alike(leaders[-1]):
            leaders.append(one)
        else:
            leaders.append(leaders[-1])
    for _, pairs in groupby(zip(sent, leaders, strict=True), key=lambda pair: id(pair[1])):
        yield [one for one, _ in pairs]


def rounds_text(first: Sent, last: Sent) -> str:
    """Which rounds these are."""
    if first.index == last.index:
        return f"Round {first.index + 1}"
    return f"Rounds {first.index + 1} to {last.index + 1}, in each"


def arrays_text(leaves: Sequence[Leaf]) -> str:
    """What arrays hold, in words.

    >>> arrays_text([Leaf("gradient", (14,), "sum", False), Leaf("loss", (1,), "sum", False)])
    'one vector of 14 sums (gradient) and 1 single sum (loss)'
    """
    wide = [leaf for leaf in leaves if leaf.numbers > 1 or leaf.kind != "sum"]
    single = [leaf.name for leaf in leaves if leaf.numbers == 1 and leaf not in wide]
    shown = [_array(leaf) for leaf in sorted(wide, key=lambda leaf: -leaf.numbers)]
    if single:
        shown.append(f"{many(len(single), 'single sum')} ({', '.join(single)})")
    return " and ".join([*([", ".join(shown[:-1])] if shown[1:] else []), *shown[-1:]]) or "nothing"


def _array(leaf: Leaf) -> str:
    things: Mapping[str, str] = {
        "sum": "sum",
        "min": "smallest value",
        "max": "greatest value",
        "union": "different value",
        "sketch": "number of a sketch",
    }
    thing = "text" if leaf.text and leaf.kind == "sum" else things[leaf.kind]
    found = many(leaf.numbers, thing)
    wide = [size for size in leaf.shape if size > 1]
    if len(wide) == 1:
        found = f"one vector of {found}"
    elif len(wide) > 1:
        found = f"one table of {' x '.join(map(str, wide))} = {found}"
    return f"{found} ({leaf.name})"


def many(number: int, thing: str) -> str:
    """A number of things."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def bytes_text(size: int) -> str:
    """A size for people.

    >>> bytes_text(432), bytes_text(23_400), bytes_text(40_000_000)
    ('432 bytes', '23 kB', '40 MB')
    """
    for unit, one in (("MB", 1_000_000), ("kB", 1_000)):
        if size >= one:
            return f"{size / one:.0f} {unit}"
    return many(size, "byte")

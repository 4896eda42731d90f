"""The feature columns of the files of a node, as one layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from talkoot.core.errors import DataError
from talkoot.data.paths import format_of
from talkoot.data.roles import Roles
from talkoot.data.tables.columns import EMPTY, NUMBER, TEXT, WHOLE, factorize, joint_kind, number_dtype
from talkoot.data.tables.dtypes import is_whole, joint_dtype
from talkoot.data.tables.file_facts import file_facts, left_out
from talkoot.data.tables.reading import Part, fields, read
from talkoot.data.tables.source import Layout
from talkoot.data.tables.strays import Stray, cure_of, is_number, row_label

WORDS = {NUMBER: "numbers", TEXT: "text"}


def features_of(part: Part, roles: Roles) -> tuple[str, ...]:
    """The feature columns of a file, in its order.

    Raises:
        DataError: the file cannot be read, or lacks a column that a role names.
    """
    return roles.features(list(fields(part)), part.path, left_out(part))


def layout_of(parts: Sequence[Part], roles: Roles, site: Any = None) -> Layout:
    """The common columns of all files, in the order of the first.

    Raises:
        DataError: a file cannot be read, lacks a column, or has text where another has numbers.
    """
    found = [file_facts(part, features_of(part, roles)) for part in parts]
    kinds = dict.fromkeys(found[0], EMPTY)
    each: dict[str, list[tuple[str, str]]] = {name: [] for name in kinds}  # the kind and dtype in each file
    for part, facts in zip(parts, found, strict=True):
        _same_names(facts, found[0], part.path, parts[0].path)
        for name, columns in each.items():
            columns.append((facts[name].kind, facts[name].dtype))
            kinds[name] = _joined(name, kinds[name], columns[-1][0], part)
    dtypes = {name: joint_dtype(columns) for name, columns in each.items()}
    wide = {name: joint_kind([kind for kind, _ in columns]) for name, columns in each.items()}
    texts = [name for name, kind in kinds.items() if kind == TEXT]
    return Layout(
        names=tuple(kinds),
        kinds=tuple(NUMBER if wide[k] == WHOLE and not is_whole(dtypes[k]) else wide[k] for k in kinds),
        named=True,
        dtype=number_dtype([facts[name].type for facts in found for name in kinds]),
        dtypes=tuple(dtypes.values()),
        strays={name: stray_of(parts, name, roles.by, site) for name in texts},
        left_out={name: why for part in parts for name, why in left_out(part).items() if name not in kinds},
    )


def _joined(name: str, before: str, kind: str, part: Part) -> str:
    kind = NUMBER if kind == WHOLE else kind
    if {before, kind} == {NUMBER, TEXT}:
        stray = stray_of([part], name) if kind == TEXT else Stray()
        here = f"{stray} is text" if kind == TEXT else f"{part.path} holds numbers"
        raise DataError(
            f"{here} where the files before it hold {WORDS[before]}", column=name, cure=cure_of(stray.text)
        )
    return before if kind == EMPTY else kind


def stray_of(parts: Sequence[Part], column: str, by: str | None = None, site: Any = None) -> Stray:
    """The first text of a column that is not a number, else its first text."""
    first = Stray()
    for part in parts:
        at, columns = part.start, [column] if site is None or by is None else [column, by]
        types = {name: pa.string() for name in columns} if format_of(part.path) == "csv" else {}
        for batch in read(part, columns, 1 << 16, types):
            codes, levels = factorize(batch.column(column))
            lost = set(part.form.missing)
            odd = np.array(
                [level not in lost and level is not None and not is_number(level) for level in levels]
            )
            known = np.array([level not in lost and level is not None for level in levels])[codes]
            here = odd[codes]
            if len(columns) > 1:
                mine = np.array([value == site for value in batch.column(by).to_pylist()])
                here, known = here & mine, known & mine
            if here.any():
                row = int(here.argmax())
                return Stray(
                    str(levels[codes[row]]), _place(part, at + row), bool(here.sum() < 0.5 * known.sum())
                )
            if known.any() and not first.text:
                first = Stray(str(levels[codes[int(known.argmax())]]))
            at += len(batch)
    return first


def _place(part: Part, row: int) -> str:
    """The place of a row; in a CSV file the header is row 1, as in a spreadsheet."""
    if format_of(part.path) == "csv":
        return f"row {row + 2} of {part.path}"
    return f"{row_label(row)}, of {part.path}"


def _same_names(types: Mapping[str, Any], first: Mapping[str, Any], path: str, first_path: str) -> None:
    odd = [name for name in (*first, *types) if (name in first) != (name in types)]
    if odd:
        here, there = (path, first_path) if odd[0] in types else (first_path, path)
        raise DataError(
            f"{here} has this column and {there} does not",
            column=odd[0],
            cure="Rename it, or name those that all files have with columns=.",
        )

"""Names of the dtypes that columns have in pandas, which scikit-learn would see on one machine.

A name is that of pandas, such as "int64", "str" or "Int64". Where it does not determine the values, they
follow in brackets: "category[int64]", "object[bool]" (booleans with missing values), "object[decimal]".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

WITH_VALUES = ("category", "object")
NUMBERS = {f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)} - {"float8"}


def pandas_name(kind: pa.DataType, *, nulls: bool, stored: str = "") -> str:
    """The dtype in pandas of a column of Arrow; `stored` is that in the metadata of pandas.

    >>> pandas_name(pa.int8(), nulls=False), pandas_name(pa.int8(), nulls=True)
    ('int8', 'float64')
    """
    types = pa.types
    if is_extension(stored) or (stored and types.is_null(kind)):
        return stored
    if types.is_dictionary(kind):
        return category(pandas_name(kind.value_type, nulls=False))
    if types.is_boolean(kind):
        return "object[bool]" if nulls else "bool"
    if types.is_integer(kind):
        return "float64" if nulls else str(kind)
    if types.is_floating(kind):
        return str(np.dtype(kind.to_pandas_dtype()))
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "str"
    return "object[decimal]" if types.is_decimal(kind) else "object"


def category(values: str) -> str:
    """The name of a categorical dtype from the name of its values' dtype.

    >>> category("str"), category("int64")
    ('category', 'category[int64]')
    """
    return f"category[{values}]" if values in NUMBERS or values == "bool" else "category"


def is_extension(name: str) -> bool:
    """Whether a dtype of pandas is nullable, such as "Int64", "boolean" or "string"."""
    return name in ("boolean", "string") or (name.endswith("]") and "pyarrow" in name) or name[:1].isupper()


def joint(names: Iterable[str]) -> str:
    """The dtype of concatenated columns, as in pandas.concat; of categories a category.

    >>> joint(["int64", "float32"]), joint(["bool", "int64"]), joint(["Int64", "int64"])
    ('float64', 'object', 'Int64')
    """
    found = set(names)
    if len(found) == 1:
        return found.pop()
    if all(name.startswith("category") for name in found):
        return category(joint(_values(name) for name in found))
    found = {_values(name) if name.startswith("category") else name for name in found}
    if found <= NUMBERS:
        return np.result_type(*found).name
    wide = {name for name in found if is_extension(name)}
    plain = {"string": {"str"}, "boolean": {"bool"}}
    if len(wide) == 1 and found - wide <= plain.get(
        name := wide.pop(), NUMBERS if name[:1].isupper() else set()
    ):
        return name
    return found.pop() if len(found) == 1 else "object"


def joint_dtype(columns: Iterable[tuple[str, str]]) -> str:
    """The dtype of concatenated columns, from the kind and dtype of each; see `joint`.

    Categories stay categories where a part holds only missing values.

    >>> joint_dtype([("number", "int64"), ("empty", "float64")])
    'float64'
    """
    pairs = [(kind, name) for kind, name in columns if name]
    known = [name for kind, name in pairs if kind != "empty"]
    if known and all(name.startswith("category") for name in known):
        return joint(known)
    return joint(name for _, name in pairs) if pairs else ""


def _values(name: str) -> str:
    head, _, rest = name.partition("[")
    return rest.removesuffix("]") or ("str" if head == "category" else name)


def pandas_dtype(name: str) -> str:
    """The name of the dtype in pandas, without the values in brackets.

    >>> pandas_dtype("category[int64]"), pandas_dtype("int64[pyarrow]")
    ('category', 'int64[pyarrow]')
    """
    head = name.partition("[")[0]
    return head if head in WITH_VALUES else name


def value_dtype(name: str) -> np.dtype[Any] | None:
    """The dtype of a column's values where scikit-learn reads them as an array of numbers; else None.

    Nullable dtypes are None: scikit-learn reads them as float64.

    >>> value_dtype("uint64"), value_dtype("category[int64]"), value_dtype("Int64")
    (dtype('uint64'), dtype('int64'), None)
    """
    values = _values(name) if name.startswith("category") else name
    if values in NUMBERS or name == "bool":
        return np.dtype(values)
    return None


def is_whole(name: str) -> bool:
    """Whether a column holds 64-bit integers, which may be too large for floats."""
    return value_dtype(name) in (np.int64, np.uint64)


def of_frame(frame: Any) -> dict[str, str]:
    """The dtypes of a pandas frame's columns, by the columns' names as text."""
    found = {}
    for name, kind in frame.dtypes.items():
        categories = getattr(kind, "categories", None)
        found[str(name)] = str(kind) if categories is None else category(str(categories.dtype))
    return found

"""Values and functions as text that is the same in every process, to be compared between runs."""

from __future__ import annotations

import dis
import hashlib
import os
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import cache, partial
from operator import attrgetter
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_MAX_DEPTH = 4  # levels of objects within objects
_PYTHON = f"Python {sys.version_info.major}.{sys.version_info.minor}"


def is_plain(value: Any) -> bool:
    """Whether the text of a value describes it completely.

    >>> is_plain((1, "a")), is_plain([object()])
    (True, False)
    """
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(is_plain, value))
    return isinstance(value, (*_PLAIN, *_of_torch("dtype")))


def describe(name: str, value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """A value and its parts as text by name; of functions their code and the plain values that they use.

    >>> from functools import partial
    >>> dict(describe("loss", partial(max, 3)))
    {'loss': 'max', 'loss (argument 1)': '3'}
    """
    if depth > _MAX_DEPTH:
        return
    match value:
        case _ if is_plain(value):
            yield name, _short(value)
        case _ if isinstance(value, (np.ndarray, *_of_torch("Tensor"))):
            yield from _array(name, value)
        case partial():
            yield from describe(name, value.func, depth)
            for number, each in enumerate(value.args, 1):
                yield from describe(f"{name} (argument {number})", each, depth + 1)
            for key, each in value.keywords.items():
                yield from describe(f"{name} ({key}=)", each, depth + 1)
        case FunctionType():
            yield from _function(name, value, depth)
        case MethodType():
            yield from describe(name, value.__func__, depth)
            yield from describe(f"{name} of", value.__self__, depth + 1)
        case list() | tuple():
            for number, each in enumerate(value):
                yield from describe(f"{name} {number}", each, depth + 1)
        case Mapping():
            for key, each in value.items():
                yield from describe(f"{name} {key!r}", each, depth + 1)
        case os.PathLike():
            yield name, os.fspath(value)
        case _ if isinstance(value, type) or not (hasattr(value, "__dict__") or is_dataclass(value)):
            yield name, str(getattr(value, "__qualname__", type(value).__qualname__))
        case _:
            yield from _object(name, value, depth)


def _array(name: str, value: Any) -> Iterator[tuple[str, str]]:
    array = value if isinstance(value, np.ndarray) else value.detach().cpu().double().numpy()
    if array.size <= 8 or array.dtype == object:
        yield name, _short(array.tolist())
    else:
        yield name, f"{value.dtype} of shape {tuple(value.shape)}"
        yield f"{name} content", digest_of(array)


def _object(name: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    """The type of an object, its code, and its attributes except those that its own calls set."""
    yield name, type(value).__qualname__
    own = {each.name: getattr(value, each.name) for each in fields(value)} if is_dataclass(value) else {}
    own |= vars(value) if hasattr(value, "__dict__") else {}
    calls = [getattr(type(value), each, None) for each in ("__call__", "forward")]
    if isinstance(value, _of_torch("nn.Module")):
        theirs = {n: each for n, each in own.items() if not n.startswith("_") and n != "training"}
        from talkoot.learners.deep.torch_private import own_parts

        own = {**theirs, **own_parts(value)}
        calls = calls[1:]
    functions = [each for each in calls if isinstance(each, FunctionType)]
    changing = {name for each in functions for name in _assigned(each.__code__)}
    for key, each in own.items():
        if key not in changing:
            yield from describe(f"{name}: {key}", each, depth + 1)
    for each in functions:
        yield from _function(f"{name}: {each.__name__}", each, depth + 1)


def _function(name: str, function: FunctionType, depth: int) -> Iterator[tuple[str, str]]:
    """A function's name; unless it is a library's, also its code and the values and functions it uses."""
    yield name, function.__qualname__
    code = function.__code__
    if depth >= _MAX_DEPTH or (of_a_library(code.co_filename) and not code.co_filename.startswith("<")):
        return
    yield f"{name}: its {_PYTHON} code", digest_of(_code_text(code, function.__doc__))
    used = {key: function.__globals__[key] for key in code.co_names if key in function.__globals__}
    for key, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # not assigned yet
            used[key] = cell.cell_contents
    used |= {f"{key}=": each for key, each in (function.__kwdefaults__ or {}).items()}
    used |= {f"default {number}": each for number, each in enumerate(function.__defaults__ or (), 1)}
    for key, each in used.items():
        if key not in _assigned(code) and each is not function and _is_setting(each):
            yield from describe(f"{name}: {key}", each, depth + 1)


def _assigned(code: CodeType) -> set[str]:
    """The names and attributes that a function assigns."""
    return {each.argval for each in dis.get_instructions(code) if each.opname.startswith("STORE_")}


def _is_setting(value: Any) -> bool:
    """Whether a value may change a function's result; not lists and dicts, to which functions write."""
    kinds = (tuple, frozenset, np.ndarray, FunctionType, partial)
    return isinstance(value, (*_PLAIN, *kinds, *_of_torch("dtype", "Tensor", "nn.Module")))


def _code_text(code: CodeType, doc: str | None = None) -> str:
    constants: list[str] = []
    for each in code.co_consts:
        if isinstance(each, CodeType):
            constants.append(_code_text(each))
        elif each is None or each != doc:
            constants.append(repr(sorted(map(repr, each)) if isinstance(each, frozenset) else each))
    return repr((code.co_code.hex(), code.co_names, code.co_varnames, constants))


def digest_of(content: Any) -> str:
    """Twelve hexadecimal digits of a text or an array."""
    data = content.encode() if isinstance(content, str) else np.ascontiguousarray(content).tobytes()
    return hashlib.sha256(data).hexdigest()[:12]


def _short(value: Any) -> str:
    text = repr(sorted(map(repr, value)) if isinstance(value, set | frozenset) else value)
    return text if len(text) <= 200 else f"{text[:180]}... {digest_of(text)}"


@cache
def of_a_library(file: str) -> bool:
    """Whether a file is installed, not written by the user."""
    if not file.endswith(".py") or {"site-packages", "dist-packages"} & {*file.split(os.sep)}:
        return True
    return os.path.realpath(file).startswith(_library_folders())


@cache
def _library_folders() -> tuple[str, ...]:
    """Where Python and what is installed are, each with a separator at its end."""
    paths = {*sysconfig.get_paths().values(), *site.getsitepackages(), site.getusersitepackages()}
    return tuple(os.path.realpath(path) + os.sep for path in paths)


def _of_torch(*names: str) -> tuple[type, ...]:
    """Types of torch; none where nobody has imported it."""
    torch: Any = sys.modules.get("torch")
    return tuple(attrgetter(name)(torch) for name in names) if torch is not None else ()

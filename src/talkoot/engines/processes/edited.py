"""Modules of the user's own that were edited or reloaded after workers may have imported them."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FunctionType, ModuleType
from typing import Any, final

from talkoot.engines.processes import wire
from talkoot.formats.describe import of_a_library

_BEGAN = time.time()
_NOT_THEIRS = ("talkoot", "__main__", "__mp_main__")  # what scripts define is sent by value in any case


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Version:
    """A module as it was when workers could first import it."""

    spec: Any  # how it was imported; a reload, or another import, makes another object
    file: tuple[int, int] | None  # time and size of its file
    same: bool  # whether its functions were those of its file

    def is_of(self, module: ModuleType) -> bool:
        """Whether the module is still the same, and so is what workers would import."""
        return self.same and module.__spec__ is self.spec and _file(module) == self.file


@final
@dataclass(slots=True, eq=False)
class Modules:
    """The user's modules of this process, each with its version when workers could first import it."""

    _first: dict[str, _Version] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.RLock)

    def note(self) -> None:
        """Workers may import, or inherit, modules from now on."""
        with self._lock:
            for name, module in _users().items():
                if name not in self._first:
                    self._first[name] = _Version(module.__spec__, _file(module), _is_as_its_file(module))

    def changed(self) -> tuple[str, ...]:
        """Modules that workers may have in another version than this process, and all that use these."""
        self.note()
        with self._lock:
            users = _users()
            found = {name for name, module in users.items() if not self._first[name].is_of(module)}
        uses = {name: _used(module, users) for name, module in users.items()} if found else {}
        while more := {name for name, used in uses.items() if name not in found and used & found}:
            found |= more
        return tuple(sorted(found))

    @contextmanager
    def sent(self) -> Iterator[tuple[str, ...]]:
        """In this context what changed modules define is pickled by value; gives their names."""
        changed = self.changed()
        with self._lock, wire.by_value([sys.modules[name] for name in changed]):
            yield changed


MODULES = Modules()


def forget(names: tuple[str, ...]) -> None:
    """In a worker: import these modules, and what is below them, anew when they are asked for."""
    for name in [*sys.modules]:
        if any(name == each or name.startswith(f"{each}.") for each in names):
            del sys.modules[name]


def _users() -> Mapping[str, ModuleType]:
    """The modules of this process that are neither a library's nor Talkoot's own."""
    imported: list[tuple[str, Any]] = [*sys.modules.items()]  # some put other things there
    return {
        name: module
        for name, module in imported
        if isinstance(module, ModuleType)
        and isinstance(file := vars(module).get("__file__"), str)
        and vars(module).get("__spec__") is not None
        and name.partition(".")[0] not in _NOT_THEIRS
        and module.__name__ == name
        and not of_a_library(file)
    }


def _file(module: ModuleType) -> tuple[int, int] | None:
    try:
        about = os.stat(str(module.__file__))
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size


def _is_as_its_file(module: ModuleType) -> bool:
    """Whether the functions of a module are those in its file, which may have been edited meanwhile."""
    about = _file(module)
    if about is None or about[0] < _BEGAN * 1e9:
        return about is not None
    try:
        with open(str(module.__file__), "rb") as file:
            code = compile(file.read(), str(module.__file__), "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError):
        return False
    functions = {each.co_name: each for each in code.co_consts if isinstance(each, CodeType)}
    mine = [value for value in vars(module).values() if isinstance(value, FunctionType)]
    here = {f.__name__: f.__code__ for f in mine if f.__module__ == module.__name__}
    return all(functions[name] == code for name, code in here.items() if name in functions)


def _used(module: ModuleType, users: Mapping[str, ModuleType]) -> set[str]:
    """The user's modules that a module names, or has something of."""
    values = [*vars(module).values()]
    named = {value.__name__ for value in values if isinstance(value, ModuleType)}
    named |= {str(value.__module__) for value in values if isinstance(value, FunctionType | type)}
    return named & users.keys() - {module.__name__}

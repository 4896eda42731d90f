"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import talkoot as tk

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "talkoot"
FILES = sorted(SOURCE.rglob("*.py"))
LAYERS = {  # a package may import itself and those of a lower number
    "core": 0,
    "kernels": 0,
    "guards": 1,
    "data": 1,
    "learners": 2,
    "recipes": 2,
    "online": 3,
    "formats": 3,
    "stream": 4,
    "engines": 4,
    "watch": 4,
    "testing": 5,
    "api": 5,
    "explain": 6,
    "demo": 6,
    "cli": 7,
}
PICKLES = re.compile(r"^(pickle|cloudpickle|dill|shelve|marshal)\b")
UNPICKLES = re.compile(r"^(pickle|joblib|torch)\.loads?\(|allow_pickle=True")
MAY_UNPICKLE = re.compile(r"\b(pickle|joblib|torch)\b|allow_pickle")
UNPICKLING = {"engines/processes/wire.py", "learners/online/river.py"}
HEAVY = {
    "ray",
    "grpc",
    "cryptography",
    "torch",
    "xgboost",
    "lightgbm",
    "pandas",
    "polars",
    "hypothesis",
    "numba",
    "river",
    "redis",
    "confluent_kafka",
}
AT_HOME = {  # packages that are made of a heavy library and imported late themselves
    "learners/deep": {"torch"},
    "engines/ranks": {"torch"},
    "engines/ray": {"ray", "torch"},
    "engines/federation": {"cryptography"},
    "cli/parties": {"cryptography"},
    "kernels": {"numba"},
}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> list[tuple[str, bool]]:
    """Modules that a file imports, and whether it does so as soon as it is loaded."""
    return list(_imports(parsed(path), at_once=True))


def _imports(node: ast.AST, *, at_once: bool) -> Iterator[tuple[str, bool]]:
    at_once = at_once and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.If)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, at_once) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield child.module, at_once
        elif not isinstance(child, ast.expr):
            yield from _imports(child, at_once=at_once)


def home_of(path: Path) -> str:
    """The package made of a heavy library that a file is in, or its folder."""
    folder = path.parent.relative_to(SOURCE).as_posix()
    return next((home for home in AT_HOME if f"{folder}/".startswith(f"{home}/")), folder)


def layer(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_imports_run_one_way() -> None:
    for path in FILES:
        own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        for module, _ in imports(path):
            if module.startswith("talkoot.") and own in LAYERS:
                other = layer(module)
                assert other == own or LAYERS[other] < LAYERS[own], f"{own} must not import {module}"


def test_nothing_is_unpickled_but_for_our_own_workers_and_for_river() -> None:
    for path in FILES:
        if path.relative_to(SOURCE).as_posix() not in UNPICKLING:
            assert not any(PICKLES.search(name) for name, _ in imports(path)), path
            if MAY_UNPICKLE.search(path.read_text()):
                calls = [ast.unparse(n) for n in ast.walk(parsed(path)) if isinstance(n, ast.Call)]
                assert not any(UNPICKLES.search(call) for call in calls), path


def test_heavy_libraries_are_imported_late_and_engine_libraries_only_by_engines() -> None:
    for path in FILES:
        own, home = path.relative_to(SOURCE).parts[0], home_of(path)
        for module, at_once in imports(path):
            top = module.split(".")[0]
            heavy = HEAVY - AT_HOME.get(home, set())
            assert not (top in heavy and at_once and own != "testing"), f"{path} imports {module} at once"
            for other in AT_HOME:
                inside = module.startswith(f"talkoot.{other.replace('/', '.')}.")
                at_home = home == other or AT_HOME[other] <= AT_HOME.get(home, set())
                assert not (inside and at_once and not at_home), f"{path} imports {module} at once"
            assert not (top in {"ray", "grpc"} and own != "engines"), f"{path} imports {module}"
            assert not (module.startswith("torch.distributed") and own != "engines"), (
                f"{path} imports {module}"
            )


def test_files_import_each_other_in_no_circle() -> None:
    figures = runpy.run_path(str(ROOT / "tools" / "figures.py"))
    assert figures["circles"](figures["files"]()) == []


def test_folders_are_small_and_say_what_lives_in_them() -> None:
    for folder in {path.parent for path in FILES}:
        assert len(list(folder.glob("*.py"))) <= 18, f"{folder} has too many files"
        assert ast.get_docstring(parsed(folder / "__init__.py")), f"{folder} says nothing"


def test_the_house_speaks_plainly() -> None:
    """Past participles as nouns say nothing; where they are verbs, they are few."""
    words = re.compile(r"\b(said|told|kept|asked|heard)\b", re.IGNORECASE)
    lines = [line for path in FILES for line in path.read_text().splitlines() if words.search(line)]
    assert len(lines) < 120, lines


def test_files_stay_readable() -> None:
    for path in FILES:
        assert len(path.read_text().splitlines()) <= 400, f"{path} is too long"
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                assert (node.end_lineno or 0) - first.lineno < 40, f"{path.name}: {node.name} is too long"


def test_the_public_namespace_is_flat_sorted_and_complete() -> None:
    tree = parsed(SOURCE / "__init__.py")
    typed = {a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    assert tk.__all__ == sorted(tk.__all__)
    assert typed - {"annotations", "import_module", "TYPE_CHECKING", "Any"} == set(tk.__all__)
    assert set(dir(tk)) == set(tk.__all__)
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        tk.fitt  # noqa: B018


@pytest.mark.parametrize("name", tk.__all__)
def test_every_public_name_is_documented_with_an_example(name: str) -> None:
    thing = getattr(tk, name)
    text = inspect.getdoc(thing) or ""
    assert ">>>" in text, f"tk.{name} has no example"
    page = (ROOT / "docs" / "reference.md").read_text()
    assert f"talkoot.{name}\n" in page, f"tk.{name} has no entry in docs/reference.md"
    if inspect.isfunction(thing):
        for argument in inspect.signature(thing).parameters:
            assert f"{argument}:" in text, f"tk.{name} does not document {argument}"


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = (
        "import sys, talkoot; talkoot.__all__; "
        "print([m for m in ('numpy','sklearn','torch','ray') if m in sys.modules])"
    )
    got = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert got.stdout.strip() == "[]"


def test_the_version_is_the_package_version() -> None:
    assert importlib.metadata.version("talkoot") == tk.__version__

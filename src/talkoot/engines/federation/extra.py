"""The packages that a federation needs besides those of the base."""

from __future__ import annotations

from importlib.util import find_spec

from talkoot.core.errors import PlanError

PACKAGES = {"grpc": "grpcio", "cryptography": "cryptography"}


def require_extra() -> None:
    """Refuse to go on where a package is missing.

    Raises:
        PlanError: one is not installed.
    """
    missing = [package for module, package in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise PlanError(
            f"a federation needs {' and '.join(missing)}, not installed here",
            cure="pip install 'talkoot[federation]'",
        )

"""The sites that a coordinator knows: a certificate each, as files that its people can look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from talkoot.engines.federation.identity.files import read, write_whole

FOLDER, SUFFIX = "sites", ".crt"


@final
@dataclass(frozen=True, slots=True)
class Roster:
    """The sites that were approved, or have come; to leave one out, its file is taken away.

    Args:
        folder: of the coordinator.
    """

    folder: Path

    def add(self, name: str, certificate: bytes) -> None:
        """Know a site, by its newest certificate (PEM)."""
        path = self.folder / FOLDER / f"{name}{SUFFIX}"
        if not path.exists() or read(path) != certificate:
            write_whole(path, certificate)

    def certificates(self) -> dict[str, bytes]:
        """Certificate (PEM) of each site, by name."""
        found = sorted((self.folder / FOLDER).glob(f"*{SUFFIX}"))
        return {path.name.removesuffix(SUFFIX): read(path) for path in found}

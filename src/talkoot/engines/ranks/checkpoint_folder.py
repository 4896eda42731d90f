"""The folder of a run's checkpoints: whose it is, what is complete, what a crash left behind.

    plan.json            the digest of the plan, and the step it finished at, if it did
    step-00000100/       a complete checkpoint: index.json, and a shard file from each rank
    .tmp-step-00000200/  one that is being written, or was when a crash came

A folder gets its final name once everything in it is on the disk, so what has the name is complete.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final
from uuid import uuid4

from talkoot.core.errors import DataError, PlanError

COMPLETE = re.compile(r"step-(\d{8,})")
TEMPORARY = ".tmp-"


@final
@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of checkpoints of one plan.

    Args:
        path: the folder; it need not exist.
        digest: of the plan.
    """

    path: Path
    digest: str

    def place(self, step: int) -> Path:
        """Where the complete checkpoint of `step` is."""
        return self.path / f"step-{step:08d}"

    def draft(self, step: int) -> Path:
        """Where it is written."""
        return self.path / f"{TEMPORARY}{self.place(step).name}"

    def steps(self) -> list[int]:
        """Steps with a complete checkpoint, in order."""
        names = [each.name for each in self.path.iterdir()] if self.path.is_dir() else []
        return sorted(int(found[1]) for name in names if (found := COMPLETE.fullmatch(name)))

    @property
    def finished(self) -> int | None:
        """The step at which the plan finished, if it did.

        Raises:
            PlanError: the folder holds checkpoints of another plan.
            DataError: plan.json cannot be read.
        """
        file = self.path / "plan.json"
        try:
            told: Any = json.loads(file.read_text())
            digest, finished = told["digest"], told["finished"]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise DataError(f"{file} cannot be read ({error})", cure="Take another folder.") from error
        if digest != self.digest:
            raise PlanError(
                f"{self.path} holds checkpoints of another plan ({digest}, this one is {self.digest})",
                cure="Take another folder, or delete this one.",
            )
        return None if finished is None else int(finished)

    def check(self) -> None:
        """Refuse the folder of another plan; see `finished`."""
        _ = self.finished

    def claim(self, finished: int | None = None) -> None:
        """Say whose folder it is and, if given, the step at which the plan has finished."""
        self.check()
        file = self.path / "plan.json"
        if finished is None and file.exists():
            return
        self.path.mkdir(parents=True, exist_ok=True)
        draft = self.path / f"{TEMPORARY}plan-{uuid4().hex}"
        write(draft, json.dumps({"digest": self.digest, "finished": finished}))
        draft.replace(file)
        sync(self.path)

    def begin(self, step: int) -> None:
        """Clear what a crash left, and make the folder to write to."""
        self.claim()
        for stale in self.path.glob(f"{TEMPORARY}*"):
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
        self.draft(step).mkdir()

    def complete(self, step: int, keep: int) -> None:
        """Give the draft its final name. It and the `keep` - 1 before it stay; later steps were given up."""
        sync(self.draft(step))
        if step in self.steps():
            self._remove(step)
        self.draft(step).rename(self.place(step))
        sync(self.path)
        steps = self.steps()
        at = steps.index(step) + 1
        for each in steps[: max(at - keep, 0)] + steps[at:]:
            self._remove(each)

    def _remove(self, step: int) -> None:
        """First it loses its name, so that what is half removed does not look complete."""
        gone = self.path / f"{TEMPORARY}old-{step}"
        self.place(step).rename(gone)
        shutil.rmtree(gone)


def write(file: Path, text: str) -> None:
    """Write a file and have it on the disk."""
    file.write_text(text)
    sync(file)


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

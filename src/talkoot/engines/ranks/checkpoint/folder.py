"""The folder of a training's checkpoints: its settings, what is complete, what a crash left.

    plan.json            the settings of the training, and the step at which it finished
    step-00000100/       a complete checkpoint: index.json, and a shard file from each rank
    .tmp-step-00000200/  one that is being written, or was when a crash came
    damaged-step-...     one that could not be read
    .lock                held by the run that writes here

A checkpoint gets its final name once all its files are on the disk, so one with that name is complete. Paths
are relative: the folder may be moved between two runs.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import socket
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final
from uuid import uuid4

from talkoot.core.errors import DataError, PlanError
from talkoot.engines.ranks.checkpoint.identity import differences

COMPLETE = re.compile(r"step-(\d{8,})")
TEMPORARY = ".tmp-"
LOCK_PATIENCE = 5.0  # seconds that an earlier run may take to release the lock


@final
@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of checkpoints of one training."""

    path: Path  # the folder; it need not exist
    settings: Mapping[str, str] | None  # by name; None where another process has compared them

    def place(self, step: int) -> Path:
        """The folder of the complete checkpoint of `step`."""
        return self.path / f"step-{step:08d}"

    def draft(self, step: int) -> Path:
        """The folder in which it is written."""
        return self.path / f"{TEMPORARY}{self.place(step).name}"

    def steps(self) -> list[int]:
        """Steps with a complete checkpoint, in order."""
        names = [each.name for each in self.path.iterdir()] if self.path.is_dir() else []
        return sorted(int(found[1]) for name in names if (found := COMPLETE.fullmatch(name)))

    @property
    def finished(self) -> int | None:
        """The step at which the training finished, if it did.

        Raises:
            DataError: plan.json cannot be read.
        """
        return self._read_plan()[1]

    def check(self) -> list[str]:
        """Compare settings with those in the folder; returns the differences that are allowed.

        Raises:
            PlanError: the folder holds checkpoints of another training; what differs is named.
            DataError: plan.json cannot be read.
        """
        saved, _ = self._read_plan()
        if saved is None or self.settings is None:
            return []
        refused, allowed = differences(saved, self.settings)
        if refused:
            more = f"; and {len(refused) - 4} more" if len(refused) > 4 else ""
            raise PlanError(
                f"{self.path} holds checkpoints of another training ({'; '.join(refused[:4])}{more})",
                cure="Give every training a folder of its own, or set back what differs to go on here.",
            )
        return allowed

    @property
    def has_settings(self) -> bool:
        """Whether plan.json holds settings."""
        return self._read_plan()[0] is not None

    def _read_plan(self) -> tuple[dict[str, str] | None, int | None]:
        """The settings and the last step in plan.json; None where there are none."""
        file = self.path / "plan.json"
        try:
            content = from_json(file.read_text())
            return dict(content["settings"]), content["finished"]
        except (FileNotFoundError, NotADirectoryError):
            return None, None
        except (OSError, ValueError, LookupError, TypeError) as error:
            delete = shlex.join(["rm", str(file)])
            cure = f"Take another folder; or start again after `{delete}`, which goes on without comparing."
            raise DataError(f"{file} cannot be read ({error})", cure=cure) from error

    def claim(self, finished: int | None = None) -> None:
        """Write the settings and, if given, the step at which the training finished."""
        self.check()
        saved, before = self._read_plan()
        settings = dict((saved or {}) if self.settings is None else self.settings)
        finished = before if finished is None else finished
        if (saved, before) == (settings, finished):
            return
        self.path.mkdir(parents=True, exist_ok=True)
        draft = self.path / f"{TEMPORARY}plan-{uuid4().hex}"
        write(draft, to_json({"settings": settings, "finished": finished}))
        draft.replace(self.path / "plan.json")
        sync(self.path)

    def try_writing(self) -> None:
        """Write a small file and remove it, to find problems before the first step.

        Raises:
            DataError: the folder cannot be written to.
        """
        trial = self.path / f"{TEMPORARY}trial-{uuid4().hex}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write(trial, "trial")
            trial.unlink()
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be written to ({error})",
                step="before the first step",
                cure="Make it a folder that this program may write to, or take another one.",
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """In this block no other run may write here; the system releases the lock when a process dies.

        Raises:
            PlanError: another run holds it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = open(self.path / ".lock", "a+")  # noqa: SIM115 - closed below
        except OSError:  # it cannot be written to; `try_writing` reports that
            yield
            return
        with file:
            self._lock(file)
            yield

    def _lock(self, file: Any) -> None:
        ends = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > ends:
                    file.seek(0)
                    raise PlanError(
                        f"another run is writing to {self.path} ({file.read().strip() or 'unknown'})",
                        cure="Wait until it has ended, or take another folder.",
                    ) from None
                time.sleep(0.05)
            except OSError:  # a file system without locks
                return
        with suppress(OSError):  # such as a full disk
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()

    def mark_damaged(self, step: int) -> None:
        """Rename a checkpoint that cannot be read, if the folder can be written to."""
        aside = self.path / f"damaged-{self.place(step).name}"
        with suppress(OSError):
            shutil.rmtree(aside, ignore_errors=True)
            self.place(step).rename(aside)

    def begin(self, step: int) -> None:
        """Remove what a crash left, and make the folder to write to."""
        self.claim()
        for stale in self.path.glob(f"{TEMPORARY}*"):
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
        self.draft(step).mkdir()

    def complete(self, step: int, keep: int) -> None:
        """Give the draft its final name; remove all but it and the `keep` - 1 before it, later steps too."""
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
        """Rename it first, so that a half removed checkpoint does not look complete."""
        gone = self.path / f"{TEMPORARY}old-{step}"
        self.place(step).rename(gone)
        shutil.rmtree(gone)


def to_json(content: Any) -> str:
    """JSON with a checksum; floats are exact.

    >>> from_json(to_json({"a": [1.5, None]}))
    {'a': [1.5, None]}
    """
    text = json.dumps(content)
    return f'{{"crc32": {zlib.crc32(text.encode())}, "content": {text}}}'


def from_json(text: str) -> Any:
    """The content of `to_json`.

    Raises:
        ValueError, KeyError, TypeError: it is something else, or has changed.
    """
    checked = json.loads(text)
    content = checked["content"]
    if zlib.crc32(json.dumps(content).encode()) != checked["crc32"]:
        raise ValueError("its checksum does not match")
    return content


def write(file: Path, text: str) -> None:
    """Write a file and flush it to the disk."""
    file.write_text(text)
    sync(file)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

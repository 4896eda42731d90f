"""Compiled code on disk is as new as its sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import talkoot.kernels.compiled as compiled

CALLED = "from talkoot.kernels.compiled import kernel\n\n@kernel\ndef called():\n    return {}\n"
CALLER = (
    "from talkoot.kernels.compiled import kernel\nfrom talkoot.kernels.called import called\n\n"
    "@kernel\ndef caller():\n    return called()\n\nprint(caller(), len(caller.stats.cache_hits))\n"
)


def answer(root: Path) -> tuple[str, ...]:
    """What the caller returns in a fresh process, and how often its code came from the disk."""
    command = [sys.executable, "-c", "import talkoot.kernels.caller"]
    environment = {**os.environ, "PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(root / "cache")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return tuple(done.stdout.split())


def test_a_change_of_a_called_file_renews_its_callers(tmp_path: Path) -> None:
    folder = tmp_path / "talkoot" / "kernels"
    folder.mkdir(parents=True)
    shutil.copy(compiled.__file__, folder)
    (tmp_path / "talkoot" / "__init__.py").touch()
    (folder / "caller.py").write_text(CALLER)
    (folder / "called.py").write_text(CALLED.format(1))
    assert [answer(tmp_path) for _ in range(2)] == [("1", "0"), ("1", "1")]
    (folder / "called.py").write_text(CALLED.format(2))
    assert answer(tmp_path) == ("2", "0")

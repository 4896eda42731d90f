"""What a worker says of things that it cannot unpack."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from talkoot.core.sync import Round
from talkoot.engines.processes import wire
from talkoot.engines.processes.heartbeat import Heartbeat
from talkoot.engines.processes.host import Host
from talkoot.engines.processes.messages import Ask, Load, Setting


def test_a_module_that_is_missing_is_named_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "far_away.py").write_text("class Thing: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import far_away  # type: ignore[import-not-found]

    packed = wire.dump(far_away.Thing())
    monkeypatch.undo()
    sys.modules.pop("far_away")
    here = Setting(folder=os.getcwd(), path=tuple(sys.path), environ=dict(os.environ))
    nothing = wire.dump({}).stream, ()
    host = Host(pack=lambda answer: answer)
    host.setting = here  # it has taken it
    host.take(Load(setting=here, plan=(packed.stream, ()), shards={}, states=nothing, segments=0), [])
    page = Heartbeat.make()
    answers: list[Any] = [
        *host.round(Ask(nodes=("a",), round=0, apart=True), lambda: (Round(index=0), None), page)
    ]
    page.close()
    error = answers[0].failed["a"]
    assert "No module named 'far_away', which what was sent needs. Install it" in str(error)
    assert "tk.Ray(n, runtime_env={'pip': ['far_away']})" in str(error)

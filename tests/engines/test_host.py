"""What a worker says of things that it cannot unpack."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from talkoot.core.plan import Plan
from talkoot.core.round import Round
from talkoot.data.schema import agree
from talkoot.data.shards import shards
from talkoot.engines.inline import Inline
from talkoot.engines.processes import wire
from talkoot.engines.processes.heartbeat import Heartbeat
from talkoot.engines.processes.host import Host
from talkoot.engines.processes.messages import Load, PlacePlan, RoundRequest, Setting
from talkoot.testing.toys import Count


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
    host.load(Load(setting=here, shards={}, segments=0), [])
    host.place(PlacePlan(pair=(packed.stream, ()), states=nothing, segments=0), [])
    page = Heartbeat.make()
    answers: list[Any] = [
        *host.round(RoundRequest(nodes=("a",), round=0, apart=True), lambda: (Round(index=0), None), page)
    ]
    page.close()
    error = answers[0].failed["a"]
    good = wire.dump((Plan(Count()), None))
    host.place(PlacePlan(pair=(good.stream, ()), states=nothing, segments=0), [])
    assert host.trouble is None, "another plan may go well"
    assert "No module named 'far_away', which what was sent needs. Install it" in str(error)
    assert "tk.Ray(n, runtime_env={'pip': ['far_away']})" in str(error)


def test_a_node_is_at_work_no_more_once_its_answer_is_out() -> None:
    """The next request may follow the answer at once, and then the page would speak of another node."""
    schema, bound = agree(shards({name: np.ones((3, 2)) for name in "ab"}), Inline())
    plan = Plan(Count())
    host = Host(pack=lambda answer: answer, plan=plan, views=dict(bound))
    page = Heartbeat.make()
    model = plan.learner.init(schema, np.random.default_rng(0))
    rounds = host.round(
        RoundRequest(nodes=("a", "b"), round=0, apart=True), lambda: (Round(index=0), model), page
    )
    seen = [(answer.nodes, page.node) for answer in rounds]
    page.close()
    assert seen == [(("a",), None), (("b",), None)]

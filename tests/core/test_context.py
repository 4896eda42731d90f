from __future__ import annotations

from dataclasses import replace

from talkoot.core.context import Ctx


def test_random_streams_are_named_and_repeatable() -> None:
    here = Ctx(round=3, node="a", seed=7)
    draws = {
        "again": here.rng("noise").random(),
        "stream": here.rng("deal").random(),
        "node": replace(here, node="b").rng("noise").random(),
        "round": replace(here, round=4).rng("noise").random(),
        "seed": replace(here, seed=8).rng("noise").random(),
    }
    assert draws["again"] == here.rng("noise").random()
    assert len(set(draws.values())) == len(draws)


def test_a_stream_is_the_same_on_every_machine() -> None:
    assert round(Ctx().rng("golden").random(), 12) == 0.604499315257

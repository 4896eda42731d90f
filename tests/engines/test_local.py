"""Local: the reference's answers on worker processes."""

from __future__ import annotations

import pytest

from talkoot.core.errors import PlanError
from talkoot.engines.local import Local
from talkoot.testing.engines import check_engine


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_it_gives_the_answers_of_the_reference(workers: int) -> None:
    check_engine(Local(workers))


@pytest.mark.parametrize("bad", [{"workers": 0}, {"workers": 2, "silence": 0.0}])
def test_it_refuses_numbers_that_make_no_sense(bad: dict[str, float]) -> None:
    with pytest.raises(PlanError, match="at least one worker"):
        Local(**bad)  # type: ignore[arg-type]

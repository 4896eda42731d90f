"""The worked examples of the documentation run, and are as short as they say."""

from __future__ import annotations

from documented import lengths, program


def test_the_parts_of_ones_own_keep_the_laws() -> None:
    assert program("docs/extending.md").federation.registered


def test_none_takes_more_than_a_page() -> None:
    _, learner, guard, merge, engine = lengths("docs/extending.md")
    assert max(learner, guard, merge) <= 30
    assert engine <= 45

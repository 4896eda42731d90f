"""The worked examples of the documentation run, and are as short as they say."""

from __future__ import annotations

from documented import lengths, program


def test_the_parts_of_ones_own_keep_the_laws() -> None:
    assert program("docs/extending.md").federation.registered


def test_a_secure_sum_does_not_change_the_answer() -> None:
    assert program("docs/secure-sum.md").masked[-1].coef_.shape == (1, 4)


def test_none_takes_more_than_a_page() -> None:
    _, learner, guard, merge, engine = lengths("docs/extending.md")
    assert max(learner, guard, merge) <= 30
    assert engine <= 45

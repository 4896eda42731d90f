"""The worked examples of the documentation run, and are as short as they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from documented import lengths, program
from talkoot.cli.parser import parser

ROOT = Path(__file__).parents[1]


def test_the_parts_of_ones_own_keep_the_laws() -> None:
    assert program("docs/extending.md").federation.registered


def test_a_secure_sum_does_not_change_the_answer() -> None:
    assert program("docs/secure-sum.md").masked[-1].coef_.shape == (1, 4)


def test_windows_over_a_stream_are_what_the_page_says() -> None:
    assert program("docs/streams.md").spent.names[0] == "amount_count_1h_by_card"


def test_the_page_on_explanations_explains() -> None:
    page = program("docs/explanations.md")
    assert abs(page.found.predictions - page.model.decision_function(page.X[:5])).max() < 1e-12
    text = (ROOT / "docs" / "explanations.md").read_text()
    assert f"```\n{page.found.reasons(2, towards='denied', k=2)}\n```" in text
    assert page.curve.average[0] < page.curve.average[2]


def test_none_takes_more_than_a_page() -> None:
    _, learner, guard, merge, engine = lengths("docs/extending.md")
    assert max(learner, guard, merge) <= 30
    assert engine <= 45


def test_every_command_of_the_page_on_organisations_is_one() -> None:
    text = (ROOT / "docs" / "federation.md").read_text()
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL))
    cells = re.findall(r"`(talkoot [^`]+)`", text)
    commands = [line for line in (*blocks.splitlines(), *cells) if line.startswith("talkoot ")]
    assert len(commands) > 12
    for command in commands:
        parser().parse_args(shlex.split(command.removesuffix(" &"))[1:])  # ends the process where it is none


def test_the_page_on_streams_follows_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    section = (ROOT / "docs" / "streams.md").read_text().partition("## Following")[2]
    names: dict[str, Any] = {}
    exec(section.partition("```python\n")[2].partition("```")[0], names)
    assert names["found"].rows == 5000
    for command in re.findall(r"`(talkoot [^`]+)`", section):
        parser().parse_args(shlex.split(command)[1:])

"""The page of a coordinator: what it shows, that it is escaped, and that only this machine can read it."""

from __future__ import annotations

import http.client
import socket
from typing import Any

import pytest

from ports import port
from talkoot.cli.page import page_on
from talkoot.core.errors import DataError
from talkoot.watch.overview import overview_page

SITE = {"connected": True, "state": "approved", "reason": "", "waited": False}
RUN: dict[str, Any] = {
    "run": "1a2b3c4d5e",
    "researcher": "ana",
    "since": 10.0,
    "here": True,
    "sites": {"lund": SITE, "oslo": SITE},
    "decided": {"lund": 12.0},
    "round": None,
    "phase": None,
    "began": None,
    "left": None,
    "kind": "fit",
    "dataset": "claims",
    "purpose": "fraud <study>",
}
SITES = {"lund": {"connected": True, "since": 5.0}, "oslo": {"connected": False, "since": None}}


def shown(**changes: Any) -> str:
    return overview_page("hub", {"now": 100.0, "sites": SITES, "runs": [{**RUN, **changes}]})


def test_sites_and_who_has_to_approve() -> None:
    text = shown(sites={"lund": SITE, "oslo": {**SITE, "state": "pending", "connected": False}})
    assert "1 of 2 sites connected, 1 run." in text
    assert "Waiting for the approval of oslo." in text
    assert "(1 min 35 s)" in text  # since when Lund is connected
    assert "fraud &lt;study&gt;" in text
    assert '<meta http-equiv="refresh" content="5">' in text


def test_the_round_that_stands_and_who_is_waited_for() -> None:
    waited = {"lund": SITE, "oslo": {**SITE, "waited": True}}
    text = shown(sites=waited, round=3, phase="update", began=90.0, left=20.0)
    assert "Round 3 has stood for 10.0 s; waiting for <b>oslo</b>, 20.0 s left." in text
    assert "has answered" in text
    assert "Round 3 (keys)" in shown(sites=waited, round=3, phase="keys", began=90.0)


def test_a_refusal_is_named_with_its_reason() -> None:
    text = shown(sites={"lund": SITE, "oslo": {**SITE, "state": "refused", "reason": "<i>no</i>"}})
    assert "It does not go on: oslo did not approve." in text
    assert "&lt;i&gt;no&lt;/i&gt;" in text


def test_a_coordinator_without_sites_and_runs() -> None:
    text = overview_page("hub", {"now": 1.0, "sites": {}, "runs": []})
    assert "No site is known" in text
    assert "Nothing is proposed." in text


def ask(address: str, path: str = "/", host: str | None = None, method: str = "GET") -> tuple[int, str]:
    where = address.removeprefix("http://").rstrip("/")
    connection = http.client.HTTPConnection(where, timeout=30)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def test_only_its_own_name_and_its_own_page_are_answered() -> None:
    with page_on(port(), lambda: "<p>here</p>") as address:
        assert address.startswith("http://127.0.0.1:")
        assert ask(address) == (200, "<p>here</p>")
        assert ask(address, "/etc/passwd")[0] == 404
        assert ask(address, host="evil.example")[0] == 403
        assert ask(address, method="POST")[0] == 501
        assert ask(address, method="DELETE")[0] == 501
    with pytest.raises(ConnectionRefusedError):
        ask(address)


def test_a_program_that_does_not_answer_is_no_end_of_the_page() -> None:
    answers = iter([TimeoutError, None])

    def render() -> str:
        if (error := next(answers)) is not None:
            raise error
        return "<p>back</p>"

    with page_on(port(), render) as address:
        assert ask(address)[0] == 503
        assert ask(address) == (200, "<p>back</p>")


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(DataError, match=f"127.0.0.1:{number}.*--page"), page_on(number, str):
            pass

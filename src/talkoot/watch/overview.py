"""A coordinator at a glance, as an HTML page that reloads itself: sites, runs, who is waited for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from talkoot.watch import words
from talkoot.watch.markup import Child, Safe, join, tag
from talkoot.watch.page import page, section, table

EVERY = 5  # seconds until the page reloads itself
COLOURS = {"approved": "good", "pending": "muted"}
Facts = Mapping[str, Any]


def overview_page(name: str, facts: Facts) -> str:
    """The page.

    Args:
        name: of the coordinator.
        facts: of its sites and runs, at one moment.

    >>> sites = {"<b>": {"connected": True, "since": 1.0}}
    >>> text = overview_page("hub", {"now": 9.0, "sites": sites, "runs": []})
    >>> "&lt;b&gt;" in text, "<script" in text
    (True, False)
    """
    sites, runs, now = facts["sites"], facts["runs"], float(facts["now"])
    there = sum(bool(site["connected"]) for site in sites.values())
    lead = f"{there} of {words.many(len(sites), 'site')} connected, {words.many(len(runs), 'run')}."
    dated = tag("span", f"{datetime.fromtimestamp(now).astimezone():%-d %B %Y, %H:%M:%S %Z}")
    return page(
        f"{name}: coordinator",
        tag("div", tag("span", "Talkoot: a coordinator"), dated, class_="over"),
        tag("h1", name),
        tag("p", lead, class_="lead"),
        section("Sites", _sites(sites, now)),
        *(_run(run, now) for run in runs),
        None if runs else section("Runs", tag("p", "Nothing is proposed.")),
        tag("footer", f"This page only shows, and reloads itself every {EVERY} seconds."),
        refresh=EVERY,
    )


def _sites(sites: Mapping[str, Facts], now: float) -> Safe:
    if not sites:
        return tag("p", "No site is known: none was approved here, and none has come.")
    rows: list[list[Child]] = []
    for name, site in sites.items():
        word = _word("connected", "good") if site["connected"] else _word("not connected", "warn")
        rows.append([name, word, _ago(site["since"], now)])
    return tag("div", table(["site", "is", "since"], rows), class_="draw")


def _run(run: Facts, now: float) -> Safe:
    """A run with its sites."""
    what = f"{run['kind'] or 'a proposal'} on {run['dataset'] or '?'}, by {run['researcher']}"
    here = "" if run["here"] else " The researcher is not connected."
    lead = tag("p", f"{what}, since {_when(run['since'])}: {run['purpose'] or 'no purpose is given'}.{here}")
    rows: list[list[Child]] = []
    for name, site in run["sites"].items():
        state = _word(site["state"], COLOURS.get(site["state"], "warn"))
        decided = run["decided"].get(name)
        spent = "" if decided is None else words.duration(max(0.0, now - decided))
        rows.append([name, state, spent, _doing(run, site), site["reason"]])
    shown = tag("div", table(["site", "has", "for", "now", "why"], rows), class_="draw")
    return section(f"Run {run['run'][:8]}", lead, tag("p", _stands(run, now)), shown)


def _stands(run: Facts, now: float) -> Safe:
    """The round that stands, and who is waited for."""
    undecided = [name for name, site in run["sites"].items() if site["state"] == "pending"]
    others = [name for name, site in run["sites"].items() if site["state"] not in ("pending", "approved")]
    if others:
        return tag("span", f"It does not go on: {words.listed(others)} did not approve.")
    if undecided:
        return tag("span", f"Waiting for the approval of {words.listed(undecided)}.")
    if run["round"] is None:
        return tag("span", "All have approved; no round is under way.")
    waited = [name for name, site in run["sites"].items() if site["waited"]]
    phase = "" if run["phase"] == "update" else f" ({run['phase']})"
    left = "" if run["left"] is None else f", {words.duration(run['left'])} left"
    spent = words.duration(max(0.0, now - run["began"]))
    named = tag("b", words.listed(waited) or "nobody")
    return join(f"Round {run['round']}{phase} has stood for {spent}; waiting for ", named, f"{left}.")


def _doing(run: Facts, site: Facts) -> str:
    if not site["connected"]:
        return "not connected"
    if run["round"] is None:
        return ""
    return "waited for" if site["waited"] else "has answered"


def _word(text: str, colour: str) -> Safe:
    return tag("span", text, class_=f"word {colour}")


def _when(at: float) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S}"


def _ago(at: float | None, now: float) -> str:
    """A time, and how long ago that is; nothing where it is not known."""
    return "" if at is None else f"{_when(at)} ({words.duration(max(0.0, now - at))})"

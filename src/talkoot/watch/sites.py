"""Sites of a federation during a run: what each has decided, whether it is there, who is waited for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

from talkoot.watch import words

APPROVED, PENDING = "approved", "pending"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SiteState:
    """Where a site stands.

    Args:
        state: what it has decided: "pending", "approved", "refused", "expired" or "withdrawn".
        reason: why, in its words.
        connected: whether it is connected to the coordinator.
        waited: whether the round under way waits for its answer.
        decided: when it came to this state, in seconds since 1970.
        since: since when it is connected, or not, and waited for, or not.
        losses: how often it was lost after it had come.
        away: seconds that it was away after that, altogether.
        held: seconds that it was waited for, altogether.
        news: what has changed last, in words; empty if nothing has.
    """

    state: str = PENDING
    reason: str = ""
    connected: bool = False
    waited: bool = False
    decided: float = 0.0
    since: float = 0.0
    losses: int = 0
    away: float = 0.0
    held: float = 0.0
    news: str = ""

    @property
    def at_work(self) -> bool:
        """Whether nothing stands in its way, and nobody waits for it."""
        return self.state == APPROVED and self.connected and not self.waited

    @property
    def returned(self) -> bool:
        """Whether it was lost and is back."""
        return self.connected and self.losses > 0


def followed(before: SiteState | None, facts: Mapping[str, Any], now: float) -> SiteState:
    """The state of a site after what the coordinator reports of it.

    >>> site = followed(None, {"state": "approved", "connected": True}, 1.0)
    >>> gone = followed(site, {"state": "approved", "connected": False}, 2.0)
    >>> gone.news, followed(gone, {"state": "approved", "connected": True}, 5.0).news
    ('lost', 'returned after 3.00 s')
    """
    known = before or SiteState(decided=now, since=now)
    state, reason = str(facts.get("state", PENDING)), str(facts.get("reason", ""))
    connected, waited = bool(facts.get("connected")), bool(facts.get("waited"))
    new = replace(known, state=state, reason=reason, connected=connected, waited=waited)
    if state != known.state:
        new = replace(new, decided=now)
    if (connected, waited) != (known.connected, known.waited):
        spent = now - known.since
        new = replace(
            new,
            since=now,
            losses=known.losses + (known.connected and not connected),
            away=known.away + (spent if known.losses and not known.connected else 0.0),
            held=known.held + (spent if known.waited else 0.0),
        )
    return replace(new, news=_news(before, new, now))


def after_round(site: SiteState, now: float) -> SiteState:
    """The state once a round is over: nobody is waited for."""
    if not site.waited:
        return site
    return replace(site, waited=False, held=site.held + now - site.since, since=now)


def _news(before: SiteState | None, new: SiteState, now: float) -> str:
    if before is None or (before.state, before.reason) != (new.state, new.reason):
        return _decision(new)
    if before.connected and not new.connected:
        return "lost"
    if new.connected and not before.connected:
        return f"returned after {words.duration(now - before.since)}" if before.losses else "connected"
    return "waited for" if new.waited and not before.waited else ""


def _decision(site: SiteState) -> str:
    """What a site has decided, in words."""
    why = f": {site.reason}" if site.reason else ""
    return f"{site.state}{why}{'' if site.connected else ', not connected'}"


def in_words(site: SiteState, now: float, *, working: bool) -> tuple[str, str]:
    """Where a site stands, and the colour of it.

    Args:
        site: the site.
        now: in seconds since 1970.
        working: whether rounds have begun.
    """
    if site.state == PENDING:
        return _decision(site), "yellow"
    if site.state != APPROVED:
        return _decision(site), "red"
    if not site.connected:
        gone = f"lost {words.duration(max(0.0, now - site.since))} ago" if site.losses else "not connected"
        return gone, "yellow"
    if site.waited:
        return "waited for", "yellow"
    if not working:
        return APPROVED, "dim"
    return ("working, returned" if site.returned else "working"), "dim"


def undecided(sites: Mapping[str, SiteState]) -> list[str]:
    """The sites that have not decided."""
    return [name for name, site in sites.items() if site.state == PENDING]


def waiting(sites: Mapping[str, SiteState], left: float | None) -> str:
    """For whom a run waits, and for how long at most; empty if it waits for nobody.

    >>> waiting({"oslo": SiteState(state="approved", connected=True, waited=True)}, 12.0)
    'waiting for oslo, at most 12 s more'
    """
    if pending := undecided(sites):
        return f"waiting for the approval of {_named(pending)}"
    late = [name for name, site in sites.items() if site.waited]
    more = "" if left is None else f", at most {words.roughly(left)} more"
    return f"waiting for {_named(late)}{more}" if late else ""


def _named(names: list[str], most: int = 5) -> str:
    return words.listed(names if len(names) <= most else [*names[:most], f"{len(names) - most} more"])

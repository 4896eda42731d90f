"""The desk of a site: it decides on proposals, by the policy and by persons, and lets their rounds in."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, final

from talkoot.core.engine import View
from talkoot.core.errors import DataError, Refused, TalkootError
from talkoot.core.plan import Plan
from talkoot.core.round import UPDATE, Round
from talkoot.data.contract.shared_rows import SharedRows
from talkoot.data.tables.source import Source
from talkoot.engines.federation.audit import AuditLog
from talkoot.engines.federation.consent import policy
from talkoot.engines.federation.consent import proposal as proposals
from talkoot.engines.federation.consent.content import (
    content_of,
    require_all,
    require_belongs,
    sum_of,
)
from talkoot.engines.federation.consent.data_sets import DataSets, rows_of
from talkoot.engines.federation.consent.forgetting import require_fitted
from talkoot.engines.federation.consent.journal import Decision, Journal
from talkoot.engines.federation.consent.policy import Policy
from talkoot.engines.federation.consent.proposal import Proposal, Signed, State, run_of
from talkoot.engines.federation.consent.secure_sum import with_keys
from talkoot.engines.federation.consent.thresholds import with_seals, with_thresholds
from talkoot.engines.federation.identity import consents
from talkoot.engines.federation.identity.consents import Consent
from talkoot.engines.federation.identity.identity import Identity
from talkoot.engines.federation.ledger.database import FINAL
from talkoot.engines.federation.ledger.ledger import Ledger
from talkoot.engines.federation.ledger.rows import RowSet
from talkoot.learners.held_out.site_scores import SiteScores

LOG = logging.getLogger("talkoot.site")
POLICY = "the policy"
NAMED = 8  # digits of a run that a person must type at least


class Answer(NamedTuple):
    """Where a run stands, and why, as others may read it."""

    state: State
    reason: str = ""


@final
@dataclass(slots=True, eq=False)
class Desk:
    """Who decides at a site.

    Args:
        identity: the site's.
        registered: what plans may name besides the catalogue.
        now: the time, in seconds since 1970.
    """

    identity: Identity
    registered: Mapping[str, Any] = field(default_factory=dict)
    now: Callable[[], float] = time.time
    data_sets: DataSets = field(init=False)
    journal: Journal = field(init=False)
    ledger: Ledger = field(init=False)
    audit: AuditLog = field(init=False)

    def __post_init__(self) -> None:
        self.data_sets = DataSets(self.identity.name, self.identity.folder)
        self.journal = Journal(self.identity.folder)
        self.ledger = Ledger(self.identity.folder)
        self.audit = AuditLog(self.identity.folder, self.now)

    @property
    def folder(self) -> Path:
        """Where the site's files are."""
        return self.identity.folder

    def decide(self, signed: Signed) -> Answer:
        """By the policy of now, and what persons have decided so far. Whatever goes wrong refuses."""
        try:
            proposal, _ = proposals.require_genuine(signed, self.identity)
        except TalkootError as error:
            return Answer("refused", error.cause)
        try:
            return self._decided(signed, proposal)
        except DataError:  # a full disk, or a log that was cut
            return Answer("refused", "the records of this site cannot be written")
        except Exception:
            LOG.exception("on a proposal")
            return Answer("refused", "this site cannot decide; its log says why")

    def _decided(self, signed: Signed, proposal: Proposal) -> Answer:
        run, seen = run_of(signed.proposal), self._see(signed, proposal)
        if (barred := self._barred(run, proposal, seen)) is not None:
            return barred
        if (by_person := self._by_person(run)) is not None:
            return Answer(by_person.state, by_person.why)
        automatic = proposal.kind in policy.load(self.folder).automatic
        if automatic and not proposal.fixes:  # two checks that differ in a fix would show single values
            return self._note(run, "approved", "")
        return self._note(run, "pending", "a person has to approve it")

    def _barred(self, run: str, proposal: Proposal, seen: float) -> Answer | None:
        """Why nobody can approve a run; None if somebody can."""
        last = self._last(run)
        if last is not None and last.state in FINAL:
            return Answer(last.state, last.why)
        try:
            rules = policy.load(self.folder)
        except DataError as error:
            return self._note(run, "refused", "the policy of this site cannot be read", str(error))
        if self.now() >= proposal.expires(seen, rules.days):
            return self._note(run, "expired", "its time is over")
        try:
            self._require_permitted(proposal, rules)
        except (Refused, DataError) as error:
            unread = "the settings of this site cannot be read"
            outward = _outward(error) if isinstance(error, Refused) else unread
            return self._note(run, "refused", outward, str(error.__cause__ or error))
        return None

    def approve(self, run: str, who: str, why: str = "") -> str:
        """A person approves; returns the run's whole name.

        Raises:
            Refused: the policy does not permit it, or it was withdrawn or has expired.
        """
        signed = self.find(run)
        proposal, _ = proposals.require_genuine(signed, self.identity)
        run, seen = run_of(signed.proposal), self._see(signed, proposal)
        if (barred := self._barred(run, proposal, seen)) is not None:
            why_not = self.journal.decisions(run)[-1].why
            raise Refused(f"{run[:NAMED]} is {barred.state}: {why_not}", cure=_cure(barred.state))
        self._decide(run, "approved", who, why)
        return run

    def refuse(self, run: str, who: str, why: str = "") -> str:
        """A person refuses; another time it may be approved."""
        return self._settle(run, "refused", who, why)

    def withdraw(self, run: str, who: str, why: str = "") -> str:
        """A person withdraws what was approved; for good."""
        return self._settle(run, "withdrawn", who, why)

    def _settle(self, run: str, state: State, who: str, why: str) -> str:
        run = run_of(self.find(run).proposal)
        last = self._last(run)
        if last is not None and last.state in FINAL:
            raise Refused(f"{run[:NAMED]} is {last.state}: {last.why}", cure=_cure(last.state))
        self._decide(run, state, who, why)
        return run

    def find(self, run: str) -> Signed:
        """The proposal of a run, by the first digits of its name.

        Raises:
            DataError: there is none, there are several, or the digits are too few.
        """
        if len(run) < NAMED:
            raise DataError(f"{run!r:.80} is too short", cure=f"Give the first {NAMED} digits, or more.")
        found = self.journal.proposals(run)
        if len(found) != 1:
            what = "several proposals begin" if found else "no proposal begins"
            raise DataError(f"{what} with {run!r:.80}", cure="See talkoot site list.")
        return found[0][0]

    def require_consents(self, given: Sequence[Consent]) -> None:
        """Take note of consents of other sites.

        Raises:
            TalkootError: one is not that site's, or of a run that is not known here.
        """
        for each in given:
            fit = proposals.from_bytes(self.find(each.run).proposal)
            consents.require_consent(each, fit.plan, fit.roster, self.identity)
        for each in given:
            self._remember(each)

    def consent(self, run: str) -> Consent | None:
        """The signature of this site, which has approved a run, if its part of a model is forgotten in it."""
        proposal = proposals.from_bytes(self.find(run).proposal)
        if proposal.kind != "forget":
            return None
        run = str(proposal.terms["run"])
        fit = proposals.from_bytes(self.find(run).proposal)
        given = consents.consent(run, fit.plan, self.identity)
        self._remember(given)
        return given

    def _remember(self, given: Consent) -> None:
        if self.ledger.consent(given.run, given.site):
            facts = {"run": given.run, "site": given.site, "plan": given.plan}
            self.audit.append("consented", {**facts, "signature": given.signature.hex()})

    def open(self, proposal: Proposal) -> Source:
        """The rows of an approved proposal.

        Raises:
            Refused: they cannot be read, or are too few.
        """
        least = policy.load(self.folder).minimum_rows
        source = self.data_sets.open(proposal.dataset, proposal.target, proposal.fixes)
        if rows_of(source) < least:
            raise Refused(
                f"fewer than {least} rows are here, the least that the site permits", node=self.identity.name
            )
        return source

    def require_placement(self, proposal: Proposal, plan: Plan, view: View | None = None) -> Plan:
        """The plan of a placement, with the keys of its secure sums, or the thresholds of its query.

        Raises:
            Refused: it is no part of what was approved, or looks at other rows.
        """
        require_belongs(plan, view, proposal, self.registered)
        limited = with_thresholds(plan, policy.load(self.folder).minimum_rows)
        limited = with_seals(limited, proposal, self.identity)
        return with_keys(limited, view, proposal, self.identity, self.ledger)

    def require_question(self, proposal: Proposal, plan: Plan, rnd: Round, question: Any) -> None:
        """Let a question in: scores, shared rows, and what is forgotten, for one question in a run.

        Raises:
            Refused: another one was answered before.
        """
        if proposal.kind != "forget" and not isinstance(plan.learner, SharedRows | SiteScores):
            return
        run = run_of(proposal.to_bytes())
        if not self.ledger.once(run, plan.learner.name, plan.digest(rnd, question)):
            raise Refused(
                f"this was answered once in the run {run[:NAMED]}, for another question",
                cure="Propose it again, with another purpose or permit.",
            )

    def require_round(self, proposal: Proposal, rnd: Round, key: bytes) -> None:
        """Let a round in, and count it; once for its key, which names the round and its question.

        Raises:
            Refused: it has sites that were not approved, too few of them, or the day's rounds are used up.
        """
        rules = policy.load(self.folder)
        strangers = [name for name in rnd.cohort if name not in proposal.roster]
        if strangers:
            raise Refused(f"{strangers[0]!r:.80} is not among the sites that were approved")
        if self.identity.name not in rnd.cohort:
            raise Refused(f"{self.identity.name} takes no part in round {rnd.index}")
        if proposal.kind != "forget" and len(set(rnd.cohort)) < rules.minimum_sites:
            raise Refused(f"{len(set(rnd.cohort))} sites take part, and {rules.minimum_sites} is the least")
        day = f"{datetime.fromtimestamp(self.now(), UTC):%Y-%m-%d}"
        if rnd.phase == UPDATE and not self.journal.count(day, key, rules.rounds_a_day):
            raise Refused(
                f"the {rules.rounds_a_day} rounds of {day} are used up",
                cure="The same call goes on tomorrow.",
            )

    def require_disclosure(self, proposal: Proposal, plan: Plan, rnd: Round, rows: RowSet) -> None:
        """Let a round in, if its answer cannot be subtracted from one before.

        Raises:
            Refused: the difference would be about one site, or about too few of this site's rows.
        """
        if rnd.phase == plan.chain.phases[0]:
            require_all(proposal, plan, rnd)
            self._disclose(self.ledger.require, proposal, plan, rows)

    def disclose(self, proposal: Proposal, plan: Plan, rnd: Round, rows: RowSet) -> None:
        """Write down what others can read once a round has ended, before this site's last answer leaves.

        Raises:
            Refused: as `require_disclosure`; another run may have been answered meanwhile.
        """
        if rnd.phase == plan.chain.phases[-1]:
            self._disclose(partial(self.ledger.disclose, now=self.now()), proposal, plan, rows)

    def _disclose(
        self, act: Callable[..., bool | None], proposal: Proposal, plan: Plan, rows: RowSet
    ) -> None:
        """Ask the ledger; what comes of it stands in the audit log."""
        new = sum_of(proposal, plan)
        try:
            if act(new, rows, policy.load(self.folder).minimum_rows):
                facts = {"sites": list(new.sites), "masked": new.masked, "rows": rows.count}
                self.audit.append("disclosed", {"run": new.run, "dataset": new.dataset, **facts})
        except Refused as error:
            self.audit.append("withheld", {"run": new.run, "why": str(error)})
            raise

    def _require_permitted(self, proposal: Proposal, rules: Policy) -> None:
        content = content_of(proposal, self.registered)
        if reasons := list(rules.reasons(proposal, content)):
            raise Refused("; ".join(reasons))
        self.require_consents(proposal.consents)
        if proposal.kind == "forget":
            gone = self.ledger.consented(str(proposal.terms["run"])) - {self.identity.name}
            require_fitted(proposal, content, self.identity.name, self.journal, self.registered, gone)
        self.ledger.require_sites(sum_of(proposal, content.plan))
        self.data_sets.require(proposal.dataset, proposal.target, proposal.fixes)

    def _last(self, run: str) -> Decision | None:
        return next(reversed(self.journal.decisions(run)), None)

    def _by_person(self, run: str) -> Decision | None:
        """The last decision of a person."""
        return next((one for one in reversed(self.journal.decisions(run)) if one.who != POLICY), None)

    def _note(self, run: str, state: State, reason: str, detail: str = "") -> Answer:
        """Write down what the policy says; the detail is for this site alone."""
        why = f"{reason} ({detail})" if detail else reason
        self._decide(run, state, POLICY, why)
        return Answer(state, reason)

    def _decide(self, run: str, state: State, who: str, why: str) -> None:
        if self.journal.decide(run, state, who, why, self.now()):
            self.audit.append("decided", {"run": run, "state": state, "who": who, "why": why})

    def _see(self, signed: Signed, proposal: Proposal) -> float:
        """When a proposal was seen first."""
        seen, new = self.journal.see(signed, self.now())
        if new:
            parts = {"proposal": signed.proposal, "signature": signed.signature}
            facts = {name: base64.b64encode(part).decode() for name, part in parts.items()}
            by = {"researcher": proposal.researcher, "certificate": signed.certificate.decode()}
            self.audit.append("proposed", {"run": run_of(signed.proposal), **by, **facts})
            self._expire()
        return seen

    def _expire(self) -> None:
        """Note that runs are over whose time is, so that what they have released is forgotten."""
        try:
            days = policy.load(self.folder).days
        except DataError:
            return  # every decision says so
        for run in self.ledger.releasing():
            ((signed, seen),) = self.journal.proposals(run)
            if self.now() >= proposals.from_bytes(signed.proposal).expires(seen, days):
                self._note(run, "expired", "its time is over")


def _outward(error: Refused) -> str:
    """Why a proposal is refused, and what helps."""
    return f"{error.cause}. {error.cure}" if error.cure else error.cause


def _cure(state: State) -> str:
    if state == "refused":
        return "A person can approve only what policy.toml permits."
    return "The researcher can propose again, with another purpose, permit or day."

"""Federation: nodes are sites of other organisations, behind a coordinator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from talkoot.core.engine import Emit, Engine, Kind, Nodes, Terms, ignore
from talkoot.core.errors import DataError, PlanError, TalkootError
from talkoot.core.plan import Plan
from talkoot.core.shard import UNKNOWN, Shard
from talkoot.data.registered import Dataset, RegisteredShard, registered_shards
from talkoot.data.shards import Shards
from talkoot.engines.federation.extra import require_extra
from talkoot.engines.federation.link.dialling import Dialling
from talkoot.engines.federation.link.messages import Attach
from talkoot.engines.federation.nodes import FederationNodes
from talkoot.engines.federation.session import AWAY, Session
from talkoot.formats.plans import plan_to_bytes

if TYPE_CHECKING:
    from talkoot.engines.federation.consent.proposal import Proposal
    from talkoot.engines.federation.identity.consents import Consent
    from talkoot.engines.federation.identity.identity import Identity


@final
@dataclass(frozen=True, slots=True)
class Federation(Engine):
    """Sites of other organisations: their rows stay there, and they decide what leaves.

    A call that is interrupted goes on where it was when it is made again: what sites have answered stands in
    the coordinator's journal.

    Args:
        folder: the researcher's folder, with its certificate and `researcher.toml`.
        purpose: why; sites read it before they approve.
        permit: who has permitted it, such as the number of an ethics vote.
        away: seconds until a coordinator that cannot be reached is given up.
        registered: what plans may name, besides the catalogue of estimators; sites have their own under
            the same names.

    >>> Federation("researcher", purpose="stroke study")
    Federation(folder='researcher', purpose='stroke study')
    """

    folder: str | Path
    purpose: str = field(default="", kw_only=True)
    permit: str = field(default="", kw_only=True, repr=False)
    away: float = field(default=AWAY, kw_only=True, repr=False)
    registered: Mapping[str, Any] = field(default_factory=dict, kw_only=True, repr=False)
    job: tuple[Plan, Kind, Terms] | None = field(default=None, init=False, repr=False)
    consents: tuple[Consent, ...] = field(default=(), init=False, repr=False)

    def __post_init__(self) -> None:
        require_extra()

    def proposed(self, plan: Plan, kind: Kind, terms: Terms | None = None) -> Federation:
        """The engine for a job: sites decide on its plan before they do anything."""
        return self._with(job=(plan, kind, terms or {}))

    def consented(self, given: Iterable[Mapping[str, Any]]) -> Federation:
        """The engine for a job that other sites' parts may be found by, with their consents as in events."""
        from talkoot.engines.federation.identity.consents import Consent

        found = {
            str(each["site"]): Consent(
                **{name: str(each[name]) for name in ("run", "plan", "site")},
                signature=bytes.fromhex(str(each["signature"])),
            )
            for each in given
        }
        known = {each.site: each for each in self.consents}
        return self._with(consents=tuple({**known, **found}.values()))

    def _with(self, **changes: Any) -> Federation:
        engine = replace(self)
        for name in ("job", "consents"):
            object.__setattr__(engine, name, changes.get(name, getattr(self, name)))
        return engine

    def deliver(self, run: str, sites: Sequence[str], model: bytes, emit: Emit) -> None:
        """Let sites have a model of a run from which others were taken out, with the consents of these."""
        from talkoot.engines.federation.models import signed

        announced = signed(run, model, self._identity(), sites=sites, consents=self.consents)
        with Session(self._dialling(), away=self.away) as session:
            session.wait(session.deliver(announced, model), lambda event: emit(*event))

    def shards(self, data: Dataset, target: Any = None) -> Shards:
        """The rows that sites have registered, one shard a site.

        Raises:
            DataError: the coordinator cannot be reached, or knows no sites.
        """
        with Session(self._dialling(), away=self.away) as session:
            sites = session.wait(session.sites(), lambda _: None)
        return registered_shards(data, target, sites)

    @contextmanager
    def open(self, shards: Mapping[str, Shard], emit: Emit = ignore) -> Iterator[Nodes]:
        """Propose the job to the sites, and wait until each has approved.

        Raises:
            PlanError: rows that are not at sites.
            DataError: the coordinator cannot be reached, or a site refuses.
        """
        from talkoot.engines.federation.consent.proposal import run_of, sign

        one = _one(shards)
        identity = self._identity()
        with Session(self._dialling(), away=self.away) as session:
            known = session.wait(session.sites(), lambda event: emit(*event))
            roster = _certified({site: known.get(site, "") for site in shards})
            signed = sign(self._proposal(one, roster, identity.name), identity)
            run = run_of(signed.proposal)
            attach = Attach(signed.proposal, signed.signature, signed.certificate, list(shards))
            nodes = FederationNodes(
                session=session,
                identity=identity,
                run=run,
                sites=tuple(shards),
                emit=emit,
                registered=self.registered,
            )
            emit("proposed", {"run": run})
            session.wait(session.attach(attach), nodes.listen)
            try:
                nodes.wait_for_approval()
                yield nodes
            except (KeyboardInterrupt, SystemExit):
                raise  # detached: the same call goes on with the journal
            except BaseException:
                _finish(session, run)
                raise
            _finish(session, run)

    def _proposal(self, one: RegisteredShard, roster: Mapping[str, str], researcher: str) -> Proposal:
        from talkoot.engines.federation.consent.proposal import Proposal

        if self.job is None:
            raise PlanError("nothing was proposed to the sites", cure="Open a federation through tk.fit().")
        plan, kind, terms = self.job
        frame = b"" if kind == "check" else plan_to_bytes(plan.agreed(UNKNOWN), registered=self.registered)
        return Proposal(
            dataset=one.dataset,
            target=one.target,
            classes=list(one.classes),
            fixes=list(one.fixes),
            consents=list(self.consents),
            plan=frame,
            kind=kind,
            terms=dict(terms),
            purpose=self.purpose,
            permit=self.permit,
            roster=dict(roster),
            researcher=researcher,
        )

    def _identity(self) -> Identity:
        from talkoot.engines.federation.identity.identity import Identity

        return Identity.load(self.folder)

    def _dialling(self) -> Dialling:
        from talkoot.engines.federation.consent import toml
        from talkoot.engines.federation.settings import RESEARCHER, ResearcherSettings, dialling

        found = toml.load(Path(self.folder).expanduser() / RESEARCHER, ResearcherSettings)
        return dialling(self._identity(), found)


def _one(shards: Mapping[str, Shard]) -> RegisteredShard:
    """One of the shards, which are of one data set and differ in their sites alone.

    Raises:
        PlanError: they are no rows of sites.
    """
    found = [shard for shard in shards.values() if isinstance(shard, RegisteredShard)]
    if len(found) != len(shards) or len({replace(shard, name="") for shard in found}) != 1:
        raise PlanError(
            "a federation learns from rows that its sites have registered, not from rows given here",
            cure='Write tk.dataset("name") in place of the data.',
        )
    return found[0]


def _certified(roster: dict[str, str]) -> dict[str, str]:
    """The roster, if the coordinator has a certificate of each site.

    Raises:
        DataError: one has never been there.
    """
    unknown = [name for name, certificate in roster.items() if not certificate]
    if unknown:
        raise DataError(
            f"the coordinator has no certificate of {', '.join(unknown)}",
            cure="Have the site started once, so that it calls: talkoot site run FOLDER.",
        )
    return roster


def _finish(session: Session, run: str) -> None:
    """Say that the run is over, unless the coordinator is gone."""
    with suppress(TalkootError):
        session.wait(session.finish(run), lambda _: None)

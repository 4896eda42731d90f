"""The nodes of a federation as the loop sees them, in the researcher's process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import msgspec

from talkoot.core.engine import Emit, Nodes, View
from talkoot.core.errors import PlanError, Refused, TalkootError
from talkoot.core.plan import Plan
from talkoot.core.round import UPDATE, Merged, Round
from talkoot.engines.federation.identity.identity import Identity
from talkoot.engines.federation.link.messages import Ask, Frame, Head, Standing
from talkoot.engines.federation.models import signed
from talkoot.engines.federation.results import result_from_bytes
from talkoot.engines.federation.session import Said, Session
from talkoot.formats.plans import placement_to_bytes
from talkoot.formats.questions import question_to_bytes


@final
@dataclass(slots=True, eq=False, kw_only=True)
class FederationNodes(Nodes):
    """Sites behind a coordinator."""

    session: Session
    identity: Identity
    run: str
    sites: tuple[str, ...]
    emit: Emit
    registered: Mapping[str, Any] = field(default_factory=dict)
    number: int = -1  # of the placement
    plan: Plan | None = None
    placement: tuple[Frame, bytes] | None = None
    counted: dict[str, bytes] = field(default_factory=dict)  # of each site, its last update that counted

    @property
    def names(self) -> tuple[str, ...]:
        """The sites."""
        return self.sites

    def place(self, plan: Plan, view: View | None = None) -> None:
        """What to do from now on; sites get it with the first round.

        Raises:
            PlanError: it cannot travel.
        """
        frame = placement_to_bytes(plan, view, registered=self.registered)
        self.number, self.plan, self.placement = self.number + 1, plan, (Frame.of(frame), frame)
        self.counted = {}

    def round(self, rnd: Round, question: Any) -> Merged:
        """Have the coordinator hold a round."""
        assert self.plan is not None
        assert self.placement is not None
        name, placement = self.placement
        frame = question_to_bytes(rnd, question, self.plan)
        ask = Ask(
            run=self.run,
            number=self.number,
            placement=name,
            question=Frame.of(frame),
            head=Head.of(rnd),
            each=self.plan.merge.needs == "each",
            finite=not self.plan.learner.needs_all,  # exact solvers may try points where a loss is infinite
            counted=dict(self.counted),
        )
        result = self.session.wait(self.session.ask(ask, placement, frame), self.listen)
        merged, keys = result_from_bytes(result)
        if rnd.phase == UPDATE:
            self.counted |= keys
        return merged

    def deliver(self, model: Callable[[], bytes]) -> None:
        """Let the sites have the fitted model; those that are away get it when they come back."""
        try:
            data = model()
        except PlanError as error:
            self.emit("note", {"text": f"the sites do not get the model: {error}"})
            return
        self.session.wait(self.session.deliver(signed(self.run, data, self.identity), data), self.listen)

    def wait_for_approval(self) -> None:
        """Wait until every site has approved.

        Raises:
            TalkootError: a site refuses.
        """
        self.session.wait(self._approved(), self.listen)
        status = self.session.status
        for found in status.sites.values() if status is not None else ():
            if found.consent is not None:
                given = msgspec.structs.asdict(found.consent)
                self.emit("consented", {**given, "signature": found.consent.signature.hex()})

    async def _approved(self) -> None:
        while True:
            status = self.session.status
            standing = status.sites if status is not None and status.run == self.run else {}
            for site, found in standing.items():
                if (refusal := _refusal(site, found)) is not None:
                    raise refusal
            if standing and all(found.state == "approved" for found in standing.values()):
                return
            await asyncio.sleep(0.05)

    def listen(self, event: Said) -> None:
        """Pass an event on."""
        self.emit(*event)


def _refusal(site: str, standing: Standing) -> TalkootError | None:
    if standing.state in ("approved", "pending"):
        return None
    why = f": {standing.reason}" if standing.reason else ""
    return Refused(f"the plan is {standing.state} there{why}", node=site, cure="Talk to the site.")

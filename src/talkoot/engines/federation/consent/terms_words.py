"""What only a comparison has, or a site's part that is forgotten, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from talkoot.core.round import UPDATE
from talkoot.engines.federation.consent.proposal import Proposal
from talkoot.engines.federation.consent.rehearsal import Sent
from talkoot.engines.federation.consent.terms import DEFAULTS

SCORES = (
    "the mean scores of both models on this site's rows (2 numbers), how these vary (4 numbers, of so many "
    "groups), of how many rows they are (all, and those with the rarest label), and why one is missing. They "
    "stay here where they would be of fewer than {least} rows, or {least} with the rarest label"
)
SCORED = (
    "Its scores are read site by site, by the coordinator and the researcher. A site cannot see that the "
    "model of all is the one that was learned: a score of a made-up one can say something about single rows."
)
FORGOTTEN = (
    "This site's own sums are sent openly: coordinator and researcher can read them, also where they were "
    "masked before. By approving, this site signs that it consents, and the other sites get that signature; "
    "it counts, too, where nothing is sent and the others learn again without this site."
)


def terms_of(proposal: Proposal) -> Iterator[str]:
    """What belongs to a proposal besides its plan."""
    terms = proposal.terms
    if proposal.kind == "compare":
        folds, seed = terms["folds"], terms["seed"]
        again = "" if terms["repeats"] == 1 else f", {terms['repeats']} times over"
        yield f"Each site's rows: {folds} folds at random (seed {seed}){again}."
        yield f"The score: {terms['scoring'] or ' or '.join(DEFAULTS) + ', by the target'}."
    elif proposal.kind == "forget":
        yield f"The model: that of the run {str(terms['run'])[:8]}. The site: {terms['site']}."


def typical(proposal: Proposal, sent: Sequence[Sent]) -> Sequence[Sent]:
    """What is worth showing: of a comparison one fold, of what is forgotten the site's sums."""
    rounds = [one for one in sent if not one.query]
    if proposal.kind == "forget":
        return [one for one in rounds if one.phase == UPDATE][-1:]
    if proposal.kind != "compare":
        return sent
    again = next((at for at in range(1, len(rounds)) if rounds[at].index < rounds[at - 1].index), len(rounds))
    first = rounds[:again]
    return [one for one in sent if one.query or any(one is each for each in first)]


def repeated(proposal: Proposal) -> Iterator[str]:
    """How often a comparison does what is shown."""
    if proposal.kind == "compare":
        times = int(proposal.terms["folds"]) * int(proposal.terms["repeats"])
        yield f"What follows is for one of {times} models. The scores leave once, for one set of models."

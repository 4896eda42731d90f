"""The researcher of a federation under faults, as a program: it makes calls, and stops where a test acts.

It reads calls as lines of JSON, and writes what happens as such lines: before each round where it is, at the
end the answer or the error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import disturbed

ROUNDS = 4


def write(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def call(folder: str, job: dict[str, Any]) -> None:
    """Make a call and write down what comes of it."""
    from tally import Tally

    import talkoot as tk
    from talkoot.core.errors import TalkootError

    masked = job["chain"] == "masked"
    chain = [tk.fixed(), tk.mask()] if masked else []
    on = tk.Federation(folder, purpose=job["purpose"], registered={"Tally": Tally}, away=60.0)
    try:
        sync = tk.rounds(ROUNDS, quorum=3, deadline=job["deadline"])
        fit = tk.run(tk.Plan(Tally(), chain=chain, sync=sync), tk.dataset("toy"), on=on)
    except TalkootError as error:
        write(error=type(error).__name__, text=str(error))
        return
    history = [[o.round.index, list(o.arrived), o.committed, dict(o.failed)] for o in fit.history]
    write(model=[float(number).hex() for number in fit.model], history=history)


def all_connected(status: Any) -> bool:
    return status is not None and all(site.connected for site in status.sites.values())


def main(folder: str) -> None:
    disturbed.prepare(folder)
    from patience import soon
    from talkoot.engines.federation.nodes import FederationNodes

    held, now = FederationNodes.round, dict[str, Any]()

    def stopping(self: FederationNodes, rnd: Any, question: Any) -> Any:
        place = [self.number, rnd.index, rnd.phase]
        write(at=place)
        if place == now["stop"]:
            now["stop"] = None
            sys.stdin.readline()
        if [self.number, rnd.index] == now["last"]:
            now["last"] = None
            assert soon(lambda: all_connected(self.session.status)), "whoever was gone is back"
        return held(self, rnd, question)

    FederationNodes.round = stopping  # type: ignore[method-assign]
    for line in sys.stdin:
        job = json.loads(line)
        now |= {"stop": job["stop"], "last": job["last"]}
        call(folder, job)


if __name__ == "__main__":
    main(str(Path(sys.argv[1])))

"""The rehearsal of a plan in a process of its own, which is ended when it takes too long or too much."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, final

import msgspec

from talkoot.core.errors import DataError, TalkootError
from talkoot.core.plan import Plan
from talkoot.core.shard import Schema
from talkoot.data.schema import Bind
from talkoot.engines.federation.consent.data_sets import registered as registered_at
from talkoot.engines.federation.consent.rehearsal import Sent, rehearse
from talkoot.formats.plans import placement_from_bytes, placement_to_bytes

SECONDS = 60  # that a trial may take, the start of its process included
MEMORY = 6 << 30  # bytes of its own that it may take; libraries do not count
COLUMNS, SITES = 2000, 200  # of a trial at most
_MODULE = "talkoot.engines.federation.consent.apart"


@final
class Untried(Exception):
    """A plan that could not be tried out: why, in words."""


@final
class _Outcome(msgspec.Struct):
    """What the process found: rounds, or the error that the plan ends with."""

    sent: list[Sent] = []
    cause: str = ""
    cure: str = ""


def rehearse_apart(
    plan: Plan,
    schema: Schema,
    sites: int,
    *,
    folder: Path,
    registered: Mapping[str, Any],
    declared: bool = False,
    seconds: float = SECONDS,
) -> list[Sent]:
    """As `rehearse`, in a process of its own.

    Args:
        plan: what is proposed.
        schema: the columns and classes.
        sites: how many take part.
        folder: of the site, where `site.toml` says what plans may name besides the catalogue.
        registered: that.
        declared: whether the researcher has declared the classes.
        seconds: after which the process is ended.

    Raises:
        Untried: it was ended, or there are more columns or sites than a trial takes.
        DataError: the plan cannot be run on such columns.
    """
    for many, most, what in ((schema.features, COLUMNS, "columns"), (sites, SITES, "sites")):
        if many > most:
            raise Untried(f"there are {many:,} {what}, and a trial takes {most:,} at most")
    frame = placement_to_bytes(plan, Bind(schema=schema, rows=None), registered=registered)
    found = _decoded(*_run([str(folder), str(sites), str(declared), str(int(seconds))], frame, seconds))
    if found.cause:
        raise DataError(found.cause, cure=found.cure or None)
    return found.sent


def _run(words: list[str], frame: bytes, seconds: float) -> tuple[int, bytes]:
    """The exit status and the output of the process; it and all that it started end here."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    ) as process:
        try:
            out, _ = process.communicate(frame, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Untried(f"it did not end within {seconds:g} s") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, out


def _decoded(status: int, out: bytes) -> _Outcome:
    with suppress(msgspec.DecodeError):
        if not status:
            return msgspec.json.decode(out, type=_Outcome)
    raise Untried(f"its process ended by itself ({status}), as where memory is not enough")


def _main(folder: str, sites: str, declared: str, seconds: str) -> None:
    """What the process does: a placement on its input, the outcome on its output."""
    _limit(int(seconds))
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints
    try:
        plan, view = placement_from_bytes(sys.stdin.buffer.read(), registered=registered_at(Path(folder)))
        assert isinstance(view, Bind)
        outcome = _Outcome(sent=rehearse(plan, view.schema, int(sites), declared=declared == str(True)))
    except TalkootError as error:
        outcome = _Outcome(cause=error.cause, cure=error.cure or "")
    with out:
        out.write(msgspec.json.encode(outcome))


def _limit(seconds: int) -> None:
    """Have the system end this process at its limits, also where its parent is gone."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _main(*sys.argv[1:])

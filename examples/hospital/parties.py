"""The programs of a federation on this machine, and the commands that people type."""

import contextlib
import io
import json
import os
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

from talkoot.cli import INTERRUPTED
from talkoot.cli import main as command
from talkoot.engines.federation.consent.desk import NAMED, Desk
from talkoot.engines.federation.consent.proposal import run_of
from talkoot.engines.federation.identity.identity import Identity

HERE = Path(__file__).resolve().parent  # where the network is that sites register
TALKOOT = "import sys; from talkoot.cli import main; sys.exit(main())"


def talkoot(line, *, show=False):
    """Type a command; its output is shown, or only where it fails."""
    print(f"$ talkoot {line}", flush=True)
    if show:
        code = command(shlex.split(line))
    else:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            code = command(shlex.split(line))
        print(out.getvalue() if code else "", end="")
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        raise SystemExit(f"talkoot {line} failed")


def free_port():
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def permit(site, **keys):
    """Change lines of a site's policy.toml, as its people would in an editor."""
    path = Path(site, "policy.toml")
    lines = {line.partition(" = ")[0]: line for line in path.read_text().splitlines()}
    lines |= {key: f"{key} = {json.dumps(value)}" for key, value in keys.items()}
    path.write_text("\n".join(lines.values()) + "\n")


def wait_for_proposal(site, over):
    """The first digits of a run that waits for a person of the site; None if all is over before."""
    desk = Desk(Identity.load(site))
    while not over.wait(0.2):
        for signed, _ in desk.journal.proposals():
            if desk.decide(signed).state == "pending":
                return run_of(signed.proposal)[:NAMED]
    return None


class Programs(contextlib.ExitStack):
    """Programs that run beside this one, and end with the block."""

    def start(self, line, until):
        """Start a program, and wait until it says something."""
        print(f"$ talkoot {line} &", flush=True)
        log = Path(shlex.split(line)[-1], "printed.txt")
        importable = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        settings = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": importable}
        environment = {**os.environ, **settings}
        with log.open("wb") as out:
            program = subprocess.Popen(
                [sys.executable, "-c", TALKOOT, *shlex.split(line)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment,
            )
        self.callback(end, program)
        return lambda: wait_until(program, log, until, line)


def wait_until(program, log, text, line):
    """Wait until a program has printed a text."""
    while text not in log.read_text():
        if program.poll() is not None:
            raise SystemExit(f"talkoot {line} has ended:\n{log.read_text()}")
        time.sleep(0.05)


def end(program):
    """End a program; what it was at stands in its journal."""
    program.terminate()
    try:
        program.wait(10)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()

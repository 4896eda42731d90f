"""The commands of a federation: provision, site, plan and evidence, as the parser sees them."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

from talkoot.cli.arguments import Command, Parser, add_command, positive

COORDINATOR = "localhost:8443"


def add_provision(commands: Any) -> list[Parser]:
    """`talkoot provision`."""
    group = _group(commands, "provision", "The authority of a federation: who may take part.")
    request = _add(
        group,
        "provision request",
        "Make keys, and a request for their certificate.",
        "talkoot provision request ana --role researcher",
    )
    request.add_argument("name", nargs="?", metavar="NAME", help="small letters, digits and hyphens")
    request.add_argument("--role", choices=("researcher", "site", "coordinator"), default="researcher")
    _request(request)
    service = _add(
        group,
        "provision service",
        "Write a unit of systemd and a Containerfile for a coordinator or a site.",
        "talkoot provision service federation/coordinator",
    )
    service.add_argument("folder", metavar="FOLDER", help="of the party, with its certificate")
    return [_init(group), request, _approve(group), _revoke(group), service]


def _init(group: Any) -> Parser:
    command = _add(
        group,
        "provision init",
        "Make the authority of a new federation, and its coordinator.",
        "talkoot provision init federation",
    )
    command.add_argument(
        "folder", nargs="?", default="federation", metavar="FOLDER", help="of the federation"
    )
    command.add_argument("--name", default="federation", help="of the federation, in its certificates")
    command.add_argument(
        "--listen", default="0.0.0.0:8443", metavar="HOST:PORT", help="where the coordinator will listen"
    )
    return command


def _approve(group: Any) -> Parser:
    command = _add(
        group,
        "provision approve",
        "Turn requests into certificates.",
        "talkoot provision approve oslo.request ana.request",
    )
    command.add_argument("requests", nargs="+", metavar="REQUEST", help="files of requests")
    command.add_argument(
        "--compared",
        action="store_true",
        help="the fingerprints were compared with those that the parties read out",
    )
    command.add_argument("--days", type=positive, default=397, metavar="N", help="that they count (397)")
    return _authority(command)


def _revoke(group: Any) -> Parser:
    command = _add(
        group,
        "provision revoke",
        "Put a party's certificates on the list of those that count no more.",
        "talkoot provision revoke oslo --reason 'laptop stolen'",
    )
    command.add_argument("name", metavar="NAME", help="of the party")
    command.add_argument("--reason", required=True, help="why; everybody can read it")
    command.add_argument(
        "--fingerprint", default="", metavar="DIGITS", help="only the certificate whose fingerprint begins so"
    )
    return _authority(command)


def add_coordinator(commands: Any) -> Parser:
    """`talkoot coordinator`."""
    about = "Run the coordinator of a federation: sites and researchers call it."
    run = _federated("talkoot.cli.programs", "coordinator")
    command = add_command(
        commands, "coordinator", about, "talkoot coordinator federation/coordinator", run=run
    )
    command.add_argument(
        "folder", metavar="FOLDER", help="its folder, with its certificate and coordinator.toml"
    )
    about = "show sites and runs on a page for people on this machine, at http://127.0.0.1:PORT"
    command.add_argument("--page", type=positive, metavar="PORT", help=about)
    return command


def _run_site(group: Any) -> Parser:
    about = "Run the site: it calls the coordinator, and its rows stay here."
    run = _federated("talkoot.cli.programs", "site")
    command = add_command(group, "run", about, "talkoot site run oslo", group="site", run=run)
    command.add_argument(
        "folders",
        nargs="+",
        metavar="FOLDER",
        help="its folder, with its certificate, site.toml and policy.toml; several to try it out",
    )
    return command


def add_site(commands: Any) -> list[Parser]:
    """`talkoot site`."""
    group = _group(commands, "site", "A site: its rows, and what it agrees to.")
    made = [_request_site(group)]
    for name, about in (
        ("approve", "Approve a proposal, by the first digits of its run."),
        ("refuse", "Refuse a proposal; it may be approved another time."),
        ("withdraw", "Withdraw what was approved; for good."),
    ):
        command = _add(group, f"site {name}", about, f"talkoot site {name} 1a2b3c4d --folder oslo")
        command.add_argument("which", metavar="RUN", help="its first digits, see talkoot site list")
        command.add_argument("--why", default="", metavar="TEXT", help="the researcher can read it")
        made.append(_folder(command))
    listed = _add(group, "site list", "What was proposed, and where it stands.", "talkoot site list")
    about = "What others can read of this site's rows, and what it discloses no more because of that."
    ledger = _add(group, "site ledger", about, "talkoot site ledger --folder oslo")
    return [*made, _folder(listed), _folder(ledger), _run_site(group)]


def _request_site(group: Any) -> Parser:
    request = _add(
        group,
        "site request",
        "Make a site's folder: keys, a request for their certificate, settings and a policy.",
        "talkoot site request oslo --data claims=claims.parquet",
    )
    request.add_argument(
        "names", nargs="*", metavar="NAME", help="small letters, digits and hyphens; several to try it out"
    )
    _request(request)
    request.add_argument(
        "--data", nargs="+", default=[], metavar="NAME=PATH", help="data sets to register in site.toml"
    )
    request.add_argument(
        "--researchers", nargs="+", default=[], metavar="NAME", help="who may propose, for policy.toml"
    )
    request.add_argument(
        "--automatic",
        nargs="+",
        default=[],
        choices=("fit", "check"),
        help="what no person need approve, for policy.toml",
    )
    request.add_argument(
        "--example",
        action="store_true",
        help='register rows that come with scikit-learn as "tumours", to try it out',
    )
    return request


def add_plan(commands: Any) -> list[Parser]:
    """`talkoot plan`."""
    group = _group(commands, "plan", "What was proposed, in plain words.")
    show = _add(
        group,
        "plan show",
        "Say what would leave a site, how often, how many bytes, and what it reveals.",
        "talkoot plan show 1a2b3c4d --folder oslo",
    )
    show.add_argument("which", metavar="RUN", help="its first digits, see talkoot site list")
    return [_folder(show)]


def add_evidence(commands: Any) -> Parser:
    """`talkoot evidence`."""
    command = _add(
        commands,
        "evidence",
        "Write what was approved and what left, as one HTML file for the data-protection officer.",
        "talkoot evidence 1a2b3c4d --folder oslo",
    )
    command.add_argument("which", metavar="RUN", help="its first digits, see talkoot site list")
    command.add_argument("--out", metavar="FILE", help="the HTML file; evidence-RUN.html by default")
    return _folder(command, "of the site, or of the coordinator; this one by default")


def _group(commands: Any, name: str, about: str) -> Any:
    group = commands.add_parser(name, help=about, description=about, prog=f"talkoot {name}")
    return group.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)


def _add(commands: Any, whole: str, about: str, example: str) -> Parser:
    group, _, name = whole.rpartition(" ")
    module = {"provision": "provision", "site": "site"}.get(group, "consent")
    run = _federated(f"talkoot.cli.parties.{module}", name)
    return add_command(commands, name, about, example, group=group, run=run)


def _federated(module: str, name: str) -> Command:
    """A command that is imported when it runs, once the packages that it needs are there."""

    def run(options: argparse.Namespace) -> int:
        from talkoot.engines.federation.extra import require_extra

        require_extra()
        command: Command = getattr(import_module(module), name)
        return command(options)

    return run


def _request(command: Parser) -> None:
    command.add_argument("--folder", metavar="FOLDER", help="where the keys stay; NAME by default")
    command.add_argument("--renew", action="store_true", help="replace the certificate that is in --folder")
    command.add_argument(
        "--coordinator", default=COORDINATOR, metavar="HOST:PORT", help="where the coordinator listens"
    )


def _authority(command: Parser) -> Parser:
    command.add_argument(
        "--authority",
        default="federation/authority",
        metavar="FOLDER",
        help="where the authority is (federation/authority)",
    )
    return command


def _folder(command: Parser, about: str = "of the site; this one by default") -> Parser:
    command.add_argument("--folder", default=".", metavar="FOLDER", help=about)
    return command

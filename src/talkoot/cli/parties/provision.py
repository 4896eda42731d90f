"""`talkoot provision`: the authority, its certificates, and requests for them."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import talkoot
from talkoot.core.errors import DataError, Refused
from talkoot.engines.federation.coordinator.roster import Roster
from talkoot.engines.federation.identity import identity, requests
from talkoot.engines.federation.identity.authority import REVOKED, Authority
from talkoot.engines.federation.identity.files import write_whole
from talkoot.engines.federation.identity.names import require_role
from talkoot.engines.federation.service import COMMANDS
from talkoot.engines.federation.service import containerfile as to_container
from talkoot.engines.federation.service import unit as to_unit

DONE, LEFT = 0, 1
TOML = {"coordinator": "coordinator.toml", "researcher": "researcher.toml"}


def init(options: argparse.Namespace) -> int:
    """`talkoot provision init`."""
    folder = Path(options.folder)
    authority = Authority.make(folder / "authority", options.name)
    coordinator = folder / "coordinator"
    path, _ = identity.request(coordinator, "coordinator", "coordinator")
    _approve(authority, path, 397)
    _write_new(coordinator / TOML["coordinator"], f'listen = "{options.listen}"\n')
    print(f"authority    {authority.folder}; whoever has its key decides who takes part")
    print(f"coordinator  {coordinator}")
    print("\nNext:")
    print(f"  start the coordinator    talkoot coordinator {coordinator}")
    port = options.listen.rpartition(":")[2]
    print(f"  at each site             talkoot site request NAME --coordinator HOST:{port}")
    print(f"  for each researcher      talkoot provision request NAME --coordinator HOST:{port}")
    print(f"  then here                talkoot provision approve *.request --authority {authority.folder}")
    return DONE


def request(options: argparse.Namespace) -> int:
    """`talkoot provision request`."""
    role = require_role(options.role)
    folder, path = make_request(options, role, options.name)
    if role in TOML and not options.renew:
        text = (
            'listen = "0.0.0.0:8443"' if role == "coordinator" else f'coordinator = "{options.coordinator}"'
        )
        write_if_new(folder / TOML[role], f"{text}\n")
    return tell_requests([(folder, path)])


def make_request(options: argparse.Namespace, role: str, name: str | None) -> tuple[Path, Path]:
    """The folder of a party, and its request in it."""
    if not (where := options.folder or name):
        raise DataError("the request needs a name", cure="Write talkoot site request oslo, for example.")
    folder = Path(where)
    path, _ = identity.request(folder, name, require_role(role), renew=options.renew)
    return folder, path


def tell_requests(made: Sequence[tuple[Path, Path]]) -> int:
    """Print requests with their folders, and what to do next."""
    for _, path in made:
        one = requests.load(path)
        name, role, _ = one.subject
        print(f"request      {path} for the {role} {name}")
        print(f"fingerprint  {one.fingerprint}")
    print("\nNext:")
    for folder, path in made:
        print(f"  send {path} to the operator, and read the fingerprint to him, by telephone for example")
        print(f"  put the file {path.with_suffix(identity.APPROVED).name} that comes back into {folder}/")
    return DONE


def approve(options: argparse.Namespace) -> int:
    """`talkoot provision approve`."""
    authority = Authority.load(Path(options.authority))
    paths = [Path(path) for path in options.requests]
    found = [requests.load(path) for path in paths]
    for path, one in zip(paths, found, strict=True):
        name, role, _ = one.subject
        renews = "; renews its certificate, and is signed by it" if one.renews else ""
        print(f"{one.fingerprint}  {role} {name}  ({path}{renews})")
    if any(not one.renews for one in found) and not options.compared and not _confirmed():
        print("\nNothing was approved.")
        print("Compare each fingerprint with the one that its party reads to you; then add --compared.")
        return LEFT
    for path in paths:
        print(f"approved     {_approve(authority, path, options.days)}")
    print("\nNext:")
    print("  send each .approved file back; it belongs into the folder where the request was made,")
    print("  and is there already where that was done on this machine")
    return DONE


def revoke(options: argparse.Namespace) -> int:
    """`talkoot provision revoke`."""
    authority = Authority.load(Path(options.authority))
    revoked = authority.revoke(options.name, options.reason, options.fingerprint)
    listed, coordinator = authority.folder / REVOKED, authority.folder.parent / "coordinator"
    print(f"revoked      {options.name}; list number {revoked.number} is {listed}")
    print("\nNext:")
    if coordinator.is_dir():
        identity.Identity.load(coordinator).update_revoked(listed.read_bytes())
        print(f"  nothing: it is in {coordinator}/ too, and sites get it from the coordinator")
    else:
        print(f"  copy {listed} into the coordinator's folder; sites get it from there")
    return DONE


def service(options: argparse.Namespace) -> int:
    """`talkoot provision service`."""
    folder = Path(options.folder).absolute()
    party = identity.Identity.load(folder)
    if party.role not in COMMANDS:
        raise Refused(f"{party.name} is a {party.role}, and only coordinators and sites are services")
    user, program = folder.owner(), str(Path(sys.executable).with_name("talkoot"))
    unit, container = folder / f"talkoot-{party.name}.service", folder / "Containerfile"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    _write_new(unit, to_unit(party.role, party.name, folder, user=user, program=program))
    _write_new(container, to_container(party.role, party.name, version=talkoot.__version__, python=python))
    image, port = f"talkoot-{party.name}", " -p 8443:8443" if party.role == "coordinator" else ""
    print(f"written      {unit}\n             {container}")
    print("\nNext, one of the two:")
    here, file, made = (shlex.quote(str(path)) for path in (folder, unit, container))
    print(f"  sudo cp {file} /etc/systemd/system/ && sudo systemctl enable --now {unit.name}")
    print(f"  podman build -t {image} -f {made} {here}")
    print(f"  podman run -d --restart=always --userns=keep-id{port} -v {here}:/party {image}")
    return DONE


def _approve(authority: Authority, path: Path, days: int) -> Path:
    request = requests.load(path)
    approval = authority.approve(request, days=days)
    approved = path.with_suffix(identity.APPROVED)
    name, role, _ = request.subject
    coordinator = authority.folder.parent / "coordinator"
    if role == "site" and not request.renews and coordinator.is_dir():  # a renewed one counts once it calls
        Roster(coordinator).add(name, approval.certificate.encode())
    write_whole(approved, approval.to_bytes())
    return approved


def _confirmed() -> bool:
    """Whether a person says that the fingerprints were compared."""
    if not sys.stdin.isatty():
        return False
    return input("\nDid the parties read these fingerprints to you? Type yes: ").strip().lower() == "yes"


def write_if_new(path: Path, text: str) -> None:
    """Write a file of settings, unless people have changed it already."""
    if not path.exists():
        path.write_text(text, encoding="utf-8")


def _write_new(path: Path, text: str) -> None:
    if path.exists():
        raise Refused(f"{path} exists, and is not overwritten")
    path.write_text(text, encoding="utf-8")

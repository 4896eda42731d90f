"""A federation's authority and its parties, made as the commands make them."""

from __future__ import annotations

from pathlib import Path

from talkoot.engines.federation.identity import identity, requests
from talkoot.engines.federation.identity.authority import Authority
from talkoot.engines.federation.identity.files import write_whole
from talkoot.engines.federation.identity.identity import Identity
from talkoot.engines.federation.identity.names import Role


def make_authority(folder: Path) -> Authority:
    return Authority.make(folder / "authority", "hospitals")


def make_party(
    authority: Authority, folder: Path, name: str, role: Role = "site", *, days: int = 30
) -> Identity:
    """A party in `folder` whose request the authority approved."""
    path, _ = identity.request(folder, name, role)
    approve(authority, path, days=days)
    return Identity.load(folder)


def renew(authority: Authority, folder: Path) -> Identity:
    path, _ = identity.request(folder, None, "site", renew=True)
    approve(authority, path)
    return Identity.load(folder)


def approve(authority: Authority, path: Path, *, days: int = 30) -> None:
    approval = authority.approve(requests.load(path), days=days)
    write_whole(path.with_suffix(identity.APPROVED), approval.to_bytes())

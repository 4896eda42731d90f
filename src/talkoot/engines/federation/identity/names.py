"""Names and roles as they stand in a certificate."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, cast, get_args

from talkoot.core.errors import DataError, Refused

Role = Literal["coordinator", "site", "researcher"]
ROLES: tuple[Role, ...] = get_args(Role)
COORDINATOR_HOST = "coordinator.talkoot"  # what TLS checks in a coordinator's certificate, wherever it runs
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_IDENTITY = re.compile(rf"talkoot:({'|'.join(ROLES)})/({_NAME.pattern})")
_KEY = re.compile(r"talkoot:ed25519/([0-9a-f]{64})")


def require_name(name: str) -> str:
    """The name, if it is one for a certificate.

    Raises:
        DataError: it holds other signs than small letters, digits and hyphens.

    >>> require_name("oslo-2")
    'oslo-2'
    """
    if not _NAME.fullmatch(name):
        near = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:63] or "oslo"
        raise DataError(
            f"{name!r:.80} is no name for a certificate",
            cure=f"Take small letters, digits and hyphens, such as {near!r}.",
        )
    return name


def require_role(role: str) -> Role:
    """The role, if there is such a one.

    Raises:
        DataError: there is none.
    """
    if role not in ROLES:
        raise DataError(f"{role!r:.40} is no role", cure=f"Take one of {', '.join(ROLES)}.")
    return role


def to_uris(name: str, role: Role, signing_key: bytes) -> list[str]:
    """The addresses that a certificate holds.

    >>> to_uris("oslo", "site", bytes(32))[0]
    'talkoot:site/oslo'
    """
    return [f"talkoot:{require_role(role)}/{require_name(name)}", f"talkoot:ed25519/{signing_key.hex()}"]


def from_uris(uris: Iterable[str]) -> tuple[str, Role, bytes]:
    """Name, role and signing key of a certificate's addresses.

    Raises:
        Refused: they are not exactly one identity and one key.

    >>> from_uris(to_uris("oslo", "site", bytes(32)))[:2]
    ('oslo', 'site')
    """
    uris = list(uris)
    identities = [found for uri in uris if (found := _IDENTITY.fullmatch(uri))]
    keys = [found for uri in uris if (found := _KEY.fullmatch(uri))]
    if len(uris) != 2 or len(identities) != 1 or len(keys) != 1:
        raise Refused(
            "the certificate does not say who it is for",
            cure="Take one that talkoot provision approve has made.",
        )
    role, name = identities[0].groups()
    return name, cast("Role", role), bytes.fromhex(keys[0][1])

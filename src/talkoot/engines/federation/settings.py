"""The settings of a party, beside its certificate: `coordinator.toml`, `site.toml` or `researcher.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, final

import msgspec

from talkoot.core.errors import DataError
from talkoot.engines.federation.link.dialling import Dialling
from talkoot.engines.federation.link.greeting import Difference

if TYPE_CHECKING:
    from talkoot.engines.federation.identity.identity import Identity


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings in a file of TOML."""


@final
class CoordinatorSettings(Settings, frozen=True, kw_only=True):
    """How a coordinator works.

    Args:
        listen: the address that sites and researchers call.
        sites: the sites that take part; all that the authority approved, by default.
        differences: what to do about other versions of packages: "note" or "refuse".
        silence: seconds without a sign of life after which a site is given up in a round.
    """

    listen: str
    sites: list[str] | None = None
    differences: Difference = "note"
    silence: float = 600.0


@final
class SiteSettings(Settings, frozen=True, kw_only=True):
    """How a site works.

    Args:
        coordinator: its address.
        proxy: the address of an HTTP proxy on the way, if there is one.
    """

    coordinator: str
    proxy: str | None = None


@final
class ResearcherSettings(Settings, frozen=True, kw_only=True):
    """How a researcher reaches a federation.

    Args:
        coordinator: its address.
        proxy: the address of an HTTP proxy on the way, if there is one.
    """

    coordinator: str
    proxy: str | None = None


S = TypeVar("S", CoordinatorSettings, SiteSettings, ResearcherSettings)
_EXAMPLES: dict[type[Settings], tuple[str, str]] = {
    CoordinatorSettings: ("coordinator.toml", 'listen = "0.0.0.0:8443"'),
    SiteSettings: ("site.toml", 'coordinator = "talkoot.example.org:8443"'),
    ResearcherSettings: ("researcher.toml", 'coordinator = "talkoot.example.org:8443"'),
}


def settings(folder: Path, kind: type[S]) -> S:
    """The settings in a folder.

    Raises:
        DataError: there are none, or one of them is wrong.
    """
    name, example = _EXAMPLES[kind]
    path = folder.expanduser() / name
    try:
        return msgspec.toml.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}", cure=f"Write it, with {example} in it."
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}", cure=f"Write it like {example}.") from None


def dialling(identity: Identity, found: SiteSettings | ResearcherSettings) -> Dialling:
    """How a party reaches the coordinator."""
    from talkoot.engines.federation.identity.identity import CHANNEL_OPTIONS

    return Dialling(address=found.coordinator, identity=identity, options=CHANNEL_OPTIONS, proxy=found.proxy)

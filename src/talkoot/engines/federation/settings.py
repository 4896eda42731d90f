"""The settings of a coordinator and of a researcher, which lie beside their certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, final

import msgspec

from talkoot.engines.federation.link.dialling import Dialling
from talkoot.engines.federation.link.greeting import Difference

if TYPE_CHECKING:
    from talkoot.engines.federation.identity.identity import Identity

COORDINATOR, RESEARCHER = "coordinator.toml", "researcher.toml"


@final
class CoordinatorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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
class ResearcherSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a researcher reaches a federation.

    Args:
        coordinator: its address.
        proxy: the address of an HTTP proxy on the way, if there is one.
    """

    coordinator: str
    proxy: str | None = None


class Way(Protocol):
    """The settings that say how to reach the coordinator."""

    @property
    def coordinator(self) -> str:
        """Its address."""

    @property
    def proxy(self) -> str | None:
        """The address of a proxy on the way."""


def dialling(identity: Identity, found: Way) -> Dialling:
    """How a party reaches the coordinator."""
    from talkoot.engines.federation.identity.identity import CHANNEL_OPTIONS

    return Dialling(address=found.coordinator, identity=identity, options=CHANNEL_OPTIONS, proxy=found.proxy)

"""What the operator sends back for a request: the certificate, the authority's, and the revoked ones."""

from __future__ import annotations

from pathlib import Path
from typing import final

import msgspec

from talkoot.core.errors import DataError
from talkoot.engines.federation.identity.files import read


@final
class Approval(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file for the party's folder; no secret is in it.

    Args:
        certificate: of the party, PEM.
        authority: the authority's certificate, PEM.
        revoked: the signed list of revoked certificates.
    """

    certificate: str
    authority: str
    revoked: str

    def to_bytes(self) -> bytes:
        """As a file."""
        return msgspec.json.format(msgspec.json.encode(self))


def load(path: Path) -> Approval:
    """The approval in a file.

    Raises:
        DataError: it is none.
    """
    try:
        return msgspec.json.decode(read(path), type=Approval)
    except msgspec.DecodeError as error:
        raise DataError(f"{path} is no approved certificate: {error}", cure="Take another copy.") from None

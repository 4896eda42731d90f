"""What errors of torch.distributed mean; torch has no class for most of them, so their texts decide."""

from __future__ import annotations

import torch.distributed as dist

from talkoot.engines.ranks.collectives.links import NO_ANSWER, PeerLost

STORE_ERRORS = (dist.DistError, RuntimeError)  # raised by a store whose server is gone or out of reach
_CONNECTION = ("gloo", "Connection", "connection", "ncclUnhandled", "Socket", "store", "PeerLost")
_TIMEOUT = ("imed out", NO_ANSWER)


def is_connection_error(error: BaseException) -> bool:
    """Whether an error is about a connection between ranks, not about somebody's arithmetic.

    >>> is_connection_error(RuntimeError("[gloo] Connection closed by peer"))
    True
    >>> is_connection_error(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    False
    """
    if isinstance(error, PeerLost | dist.DistError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _CONNECTION)


def is_timeout(text: str) -> bool:
    """Whether the text of an error is that of a rank that did not answer in time.

    >>> is_timeout("Timed out waiting 60000ms for recv operation to complete"), is_timeout("closed by peer")
    (True, False)
    """
    return any(word in text for word in _TIMEOUT)

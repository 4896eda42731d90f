"""What travels between researcher, coordinator and sites: small structs; large frames are named and fetched.

A frame is named by its SHA-256 and fetched in chunks by whoever needs it, so it goes over a link once, is
resumed after a cut, and nobody holds memory for a frame that he refuses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, final

import msgspec

from talkoot.core.errors import DataError
from talkoot.core.round import Meeting, Round
from talkoot.engines.federation.identity.consents import Consent

VERSIONS = (1, 1)  # of the protocol: the oldest and the newest that this Talkoot speaks
LIMIT = 4 << 20  # bytes of a message
CHUNK = 1 << 20  # bytes of a frame in a message, at most
State = Literal["approved", "pending", "refused", "expired", "withdrawn"]


class Message(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """A message; the name of its type is in it."""


@final
class Frame(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The name of a frame, and its size."""

    digest: bytes
    size: int

    @classmethod
    def of(cls, data: bytes | memoryview) -> Frame:
        """The name of these bytes."""
        return cls(hashlib.sha256(data).digest(), len(data))


def key_of(run: str, number: int, placement: Frame, question: Frame) -> bytes:
    """The name of a round: its question says which round and phase it is."""
    parts = (run, number, placement.digest, question.digest)
    return hashlib.sha256(repr(parts).encode()).digest()


@final
class Hello(Message, frozen=True):
    """First of all: who calls says what it speaks. Who it is, its certificate says."""

    versions: tuple[int, int]
    session: bytes  # of the program that calls; the same when it calls again
    clock: float  # seconds since 1970
    software: dict[str, str]  # the versions of packages that change answers


@final
class Welcome(Message, frozen=True):
    """The answer to a hello."""

    version: int
    notes: list[str]
    revoked: bytes  # the newest list of revoked certificates; empty if there is none


@final
class Refusal(Message, frozen=True):
    """Why the connection is closed."""

    cause: str
    cure: str = ""
    final: bool = True  # calling again will not help


@final
class Beat(Message, frozen=True):
    """A sign of life."""


@final
class Fetch(Message, frozen=True):
    """Send so many bytes of a frame, from this one on."""

    digest: bytes
    offset: int
    size: int


@final
class Chunk(Message, frozen=True):
    """Bytes of a frame."""

    digest: bytes
    offset: int
    data: memoryview


@final
class Missing(Message, frozen=True):
    """The frame is not here any more."""

    digest: bytes


@final
class Attach(Message, frozen=True):
    """Researcher: this is what I want to do, or go on with. A run is named by the digest of its proposal."""

    proposal: bytes
    signature: bytes
    certificate: bytes
    sites: list[str]


@final
class Propose(Message, frozen=True):
    """Coordinator to site: what a researcher wants to do."""

    proposal: bytes
    signature: bytes
    certificate: bytes


@final
class Decided(Message, frozen=True):
    """Site: what it decided about a run."""

    run: str
    state: State
    reason: str
    consent: Consent | None = None  # where its part of a model is to be forgotten


@final
class Standing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a site stands."""

    connected: bool
    state: State
    reason: str
    waited: bool = False  # its answer to the round under way is not here
    consent: Consent | None = None


@final
class Status(Message, frozen=True):
    """Coordinator to researcher: the sites of a run."""

    run: str
    sites: dict[str, Standing]
    left: float | None = None  # seconds until the deadline of the round under way


@final
class AskRoster(Message, frozen=True):
    """Researcher: a question for the roster."""


@final
class Roster(Message, frozen=True):
    """The sites that the coordinator knows, with their certificates, PEM."""

    sites: dict[str, str]


@final
class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A round without its board: all that the coordinator must know of it."""

    index: int
    phase: str
    cohort: tuple[str, ...]
    dropped: tuple[int, ...]
    meeting: dict[str, float | int | None]

    @classmethod
    def of(cls, rnd: Round) -> Head:
        """The head of a round."""
        return cls(rnd.index, rnd.phase, rnd.cohort, rnd.dropped, asdict(rnd.meeting))

    def round(self) -> Round:
        """The round."""
        meeting: Mapping[str, Any] = self.meeting
        return Round(
            index=self.index,
            phase=self.phase,
            cohort=self.cohort,
            dropped=self.dropped,
            meeting=Meeting(**meeting),
        )


@final
class Ask(Message, frozen=True):
    """Researcher: hold a round of a placement."""

    run: str
    number: int  # of the placement in its run
    placement: Frame
    question: Frame
    head: Head
    each: bool  # whether answers stay apart
    finite: bool = False  # whether numbers that are infinite or missing are refused
    counted: dict[str, bytes] = {}  # of each site, the key of the last update of this placement that counted

    @property
    def key(self) -> bytes:
        """The round's name: each is held once."""
        return key_of(self.run, self.number, self.placement, self.question)


@final
class Result(Message, frozen=True):
    """Coordinator to researcher: what a round brought."""

    key: bytes
    frame: Frame


@final
class Note(Message, frozen=True):
    """Coordinator to researcher: an event of a run."""

    event: str
    facts: dict[str, Any]


@final
class Finish(Message, frozen=True):
    """The run is over: forget it."""

    run: str


@final
class Finished(Message, frozen=True):
    """Coordinator to researcher: the run is forgotten."""

    run: str


@final
class Deliver(Message, frozen=True):
    """Researcher to coordinator to site: the fitted model of a run. The researcher signs its name.

    Where sites were forgotten, their consents are with it, and the names of the others.
    """

    run: str
    frame: Frame
    signature: bytes
    sites: tuple[str, ...] = ()
    consents: tuple[Consent, ...] = ()

    @property
    def statement(self) -> bytes:
        """What is signed."""
        return f"{self.run} {self.frame.digest.hex()}".encode()


@final
class Taken(Message, frozen=True):
    """The model need not be delivered again."""

    run: str


@final
class Task(Message, frozen=True):
    """Coordinator to site: do a round."""

    run: str
    number: int  # of the placement
    placement: Frame
    question: Frame
    counted: bytes = b""  # the key of the site's last update of this placement that counted

    @property
    def key(self) -> bytes:
        """The round's name, which follows from what is asked."""
        return key_of(self.run, self.number, self.placement, self.question)


@final
class Cancel(Message, frozen=True):
    """Coordinator to site: nobody waits for this round any more."""

    run: str
    key: bytes


@final
class Answered(Message, frozen=True):
    """Site: its answer, or its error, to a round."""

    run: str
    key: bytes
    frame: Frame
    seconds: float
    restarted: bool  # it did not have its own state of earlier rounds


Any_ = (
    Hello
    | Welcome
    | Refusal
    | Beat
    | Fetch
    | Chunk
    | Missing
    | Attach
    | Propose
    | Decided
    | Status
    | AskRoster
    | Roster
    | Ask
    | Result
    | Note
    | Finish
    | Finished
    | Deliver
    | Taken
    | Task
    | Cancel
    | Answered
)
_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Any_)


def encode(message: Message) -> bytes:
    """A message as bytes."""
    return _ENCODER.encode(message)


def decode(data: bytes) -> Message:
    """The message of these bytes.

    Raises:
        DataError: they are none.
    """
    if len(data) > LIMIT:
        raise DataError(f"a message has {len(data)} bytes, and at most {LIMIT} are taken")
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"these bytes are no message of a federation: {error}") from None

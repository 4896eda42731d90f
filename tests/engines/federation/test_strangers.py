"""What comes from outside and is not as it should be: refused by name, and nobody else is disturbed."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paced import Leaking, Paced
from parties import make_authority, make_party
from programs import DATA, POLICY, Federated, federated, write_rows

import talkoot as tk
from examples import examples
from patience import patient, soon
from talkoot.core.errors import DataError, TalkootError
from talkoot.core.update import Update
from talkoot.engines.federation.consent.data_sets import registered, site_file
from talkoot.engines.federation.consent.desk import Desk
from talkoot.engines.federation.identity.identity import CHANNEL_OPTIONS, Identity
from talkoot.engines.federation.journal import Journal
from talkoot.engines.federation.link.dialling import Dialling, Turned
from talkoot.engines.federation.link.exchange import Closed, read
from talkoot.engines.federation.link.messages import AskRoster, Chunk, Frame, Refusal, encode
from talkoot.engines.federation.models import Models
from talkoot.engines.federation.settings import dialling
from talkoot.engines.federation.site.site import Site
from talkoot.engines.federation.site.worker import Reply, Worker
from talkoot.formats.answers import answer_from_bytes, answer_to_bytes

X, y = np.arange(24.0).reshape(8, 3), np.arange(8.0)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federated]:
    rows = dict.fromkeys(("bergen", "oslo"), (X, y))
    with federated(tmp_path_factory.mktemp("two"), rows) as made:
        yield made


def call(made: Federated, identity: Identity, **more: Any) -> Dialling:
    unlimited = ("grpc.max_send_message_length", -1)
    options = (*CHANNEL_OPTIONS, unlimited)
    return Dialling(address=f"127.0.0.1:{made.port}", identity=identity, options=options, **more)


def first_words(dialling: Dialling, entry: str = "Site", then: bytes = b"") -> str:
    """What the coordinator says to who calls: why it refuses, or nothing."""

    async def talk() -> str:
        try:
            async with dialling.stream(entry) as (stream, _):
                if not then:
                    return ""
                await stream.write(then)
                found = await read(stream)
                return found.cause if isinstance(found, Refusal) else repr(found)
        except Turned as turned:
            return turned.refusal.cause
        except Closed as closed:
            return f"closed: {closed}"

    return asyncio.run(talk())


def works(made: Federated) -> bool:
    """Whether the federation still does."""
    on = tk.Federation(made.researcher, registered={"Paced": Paced})
    plan = tk.Plan(Paced(str(made.folder)), sync=tk.rounds(1))
    shards = on.shards(tk.dataset("toy"))
    honest = tk.Shards({name: shards[name] for name in ("bergen", "oslo")})
    return bool((tk.run(plan, honest, on=on).model == 2).all())


def party(made: Federated, name: str, role: Any = "site") -> Identity:
    folder = made.folder / name
    return Identity.load(folder) if folder.exists() else make_party(made.authority, folder, name, role)


def test_a_certificate_of_another_authority_gets_no_connection(two: Federated, tmp_path: Path) -> None:
    stranger = make_party(make_authority(tmp_path), tmp_path / "eve", "eve")
    assert "closed: UNAVAILABLE" in first_words(call(two, stranger))
    assert works(two)


def test_other_roles_and_revoked_ones_are_refused(two: Federated) -> None:
    assert "the certificate of a researcher, and comes as a site" in first_words(
        call(two, Identity.load(two.researcher))
    )
    assert "the certificate of a site, and comes as a researcher" in first_words(
        call(two, Identity.load(two.folder / "bergen")), "Researcher"
    )
    gone = party(two, "gone")
    assert first_words(call(two, gone)) == ""
    two.authority.revoke("gone", "its key was lost")
    (two.folder / "hub" / "revoked.json").write_bytes((two.authority.folder / "revoked.json").read_bytes())
    assert "revoked" in first_words(call(two, gone))
    assert works(two)


def test_a_clock_three_minutes_off_is_refused(two: Federated) -> None:
    late = call(two, party(two, "late"), clock=lambda: time.time() - 200)
    assert "the clocks differ by 200 s" in first_words(late)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        encode(AskRoster()),
        encode(Chunk(bytes(32), 0, memoryview(b"x"))) + b"x",
        bytes(5 << 20),
    ],
)
def test_other_messages_close_the_connection_alone(two: Federated, data: bytes) -> None:
    words = first_words(call(two, party(two, "odd")), then=data or b"\x00")
    assert "no message of a federation" in words or "does not send" in words or "closed" in words


@examples(40)
@given(st.binary(min_size=1, max_size=3000))
def test_garbage_on_the_port_disturbs_nobody(two: Federated, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", two.port), timeout=patient()) as sock:
        sock.sendall(data)
    assert two.coordinator.process.poll() is None


def test_the_federation_still_works(two: Federated) -> None:
    assert works(two)


@dataclass
class Evil:
    """A worker whose answers are changed on their way out."""

    worker: Worker
    change: Callable[[Reply], Reply]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.worker, name)

    def answer(self, task: Any, *given: Any) -> Reply:
        reply = self.worker.answer(task, *given)
        inventory = "Inventory" in type(self.worker.placed[task.run].plan.learner).__name__
        return reply if inventory else self.change(reply)


@contextmanager
def mallory(made: Federated, change: Callable[[Reply], Reply]) -> Iterator[None]:
    """A third site with a certificate of its own, which is not honest."""
    identity = party(made, "mallory")
    folder = identity.folder
    (folder / "site.toml").write_text(f'coordinator = "127.0.0.1:{made.port}"\n{DATA}')
    (folder / "policy.toml").write_text(POLICY)
    write_rows(folder, X, y)
    journal, known = Journal(folder / "journal"), registered(folder)
    desk = Desk(identity, known)
    worker: Any = Evil(Worker("mallory", desk, journal, known), change)
    lines: list[str] = []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        await Site(dialling(identity, site_file(folder)), worker, desk, Models(desk), lines.append).run()

    async def ended() -> None:
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)

    task = loop.create_task(serve())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    assert soon(lambda: any("connected to" in line for line in lines))
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(ended())
        loop.close()
        journal.close()


def other(reply: Reply, **values: np.ndarray) -> Reply:
    found = answer_from_bytes(reply.data)
    assert isinstance(found, Update)
    data = answer_to_bytes(Update(values={**found.values, **values}, weight=found.weight))
    return replace(reply, data=data, frame=Frame.of(data))


def shorter(reply: Reply) -> Reply:
    return replace(reply, data=reply.data[:-8], frame=Frame.of(reply.data[:-8]))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda r: replace(r, frame=Frame(bytes(32), 10 * 10**9)), "10,000,000,000 bytes was announced"),
        (lambda r: replace(r, frame=Frame(bytes(32), len(r.data))), "its SHA-256 is another"),
        (shorter, "shorter than its header says"),
        (lambda r: other(r, sum=np.array([np.nan])), "infinite or missing"),
        (lambda r: other(r, sum=np.ones(7)), r"shape \([17],\), and shape \([17],\) at"),
    ],
    ids=["size", "hash", "cut", "nan", "shape"],
)
def test_a_bad_answer_is_refused_with_the_name_of_its_site(
    two: Federated, change: Callable[[Reply], Reply], cause: str
) -> None:
    plan = tk.Plan(Paced(str(two.folder)), sync=tk.rounds(2))
    on = tk.Federation(two.researcher, registered={"Paced": Paced})
    with mallory(two, change):
        shards = on.shards(tk.dataset("toy"))
        three = tk.Shards({name: shards[name] for name in ("bergen", "mallory", "oslo")})
        with pytest.raises(DataError, match=cause) as caught:
            tk.run(plan, three, on=on)
    assert caught.value.node is not None
    assert works(two)


def test_an_error_leaves_a_site_without_values(two: Federated) -> None:
    plan = tk.Plan(Leaking("oslo"), sync=tk.rounds(1))
    on = tk.Federation(two.researcher, registered={"Leaking": Leaking})
    shards = on.shards(tk.dataset("toy"))
    with pytest.raises(TalkootError, match="NodeFailed at the site") as caught:
        tk.run(plan, tk.Shards({name: shards[name] for name in ("bergen", "oslo")}), on=on)
    assert (caught.value.node, caught.value.step) == ("oslo", "round 0")
    entry = str(caught.value.cure).split("entry ")[1].split()[0]
    assert entry in two.sites["oslo"].printed
    assert "canary" in two.sites["oslo"].printed
    for text in (str(caught.value), two.coordinator.printed, two.sites["bergen"].printed):
        assert "canary" not in text

"""Bytes on their way: never more than the budget, whatever the number of links and whichever are cut."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from talkoot.core.errors import DataError
from talkoot.engines.federation.link.exchange import AHEAD, Exchange
from talkoot.engines.federation.link.flow import LEAST, Flow
from talkoot.engines.federation.link.messages import CHUNK, Beat, Chunk, Fetch, Frame, decode, encode
from talkoot.engines.federation.link.transfer import Transfers

BUDGET = 4 * LEAST


@given(
    steps=st.lists(st.tuples(st.sampled_from(["take", "give", "cancel"]), st.integers(1, 2 * CHUNK))),
    budget=st.integers(LEAST, 20 * LEAST),
)
def test_room_is_never_overdrawn_and_all_of_it_comes_back(steps: list[tuple[str, int]], budget: int) -> None:
    async def run() -> None:
        flow, tasks, taken = Flow(budget), list[asyncio.Task[int]](), list[int]()
        for step, number in steps:
            match step:
                case "take":
                    tasks.append(asyncio.ensure_future(flow.take(number)))
                case "give" if taken:
                    flow.give(taken.pop(number % len(taken)))
                case "cancel" if tasks:
                    tasks.pop(number % len(tasks)).cancel()
            if number % 2:  # else what was granted is cancelled before its task runs on
                await turns()
            done = [task for task in tasks if task.done()]
            tasks = [task for task in tasks if not task.done()]
            taken += [task.result() for task in done]
            assert all(taken)
            assert flow.free >= 0
        while tasks or taken:
            flow.give(sum(taken))
            await turns()
            taken = [task.result() for task in tasks if task.done()]
            assert taken or not tasks  # whoever waits gets room once it is there
            tasks = [task for task in tasks if not task.done()]
        assert flow.free == budget

    asyncio.run(run())


def test_pieces_are_smaller_the_less_room_is_left() -> None:
    async def run() -> list[int]:
        flow, sizes = Flow(16 * CHUNK), list[int]()
        while flow.free >= LEAST:
            sizes.append(await flow.take(10 * CHUNK))
        return sizes

    sizes = asyncio.run(run())
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1], sum(sizes) // CHUNK) == (CHUNK, LEAST, 15)


class Wire:
    """One end of a stream whose other end a test plays."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[Any] = []

    async def read(self) -> Any:
        return await self.inbox.get()

    async def write(self, data: bytes) -> None:
        self.sent.append(decode(data))


async def turns() -> None:
    """Let all tasks run until they wait for something that is not here."""
    for _ in range(20):
        await asyncio.sleep(0)


def on_links(number: int, play: Callable[[Flow, list[tuple[Exchange, Wire]]], Awaitable[None]]) -> None:
    """Play with links that share room."""

    async def run() -> None:
        flow = Flow(BUDGET)
        links = [(Exchange(flow=flow), Wire()) for _ in range(number)]
        readers = [asyncio.ensure_future(drain(link, wire)) for link, wire in links]
        await turns()
        await play(flow, links)
        for _, wire in links:
            wire.inbox.put_nowait(None)  # the end of the stream
        await asyncio.gather(*readers)
        await turns()
        assert flow.free == BUDGET

    asyncio.run(run())


async def drain(link: Exchange, wire: Wire) -> None:
    async with aclosing(link.messages(wire)) as messages:
        async for _ in messages:
            pass


def requested(wire: Wire) -> list[Fetch]:
    return [message for message in wire.sent if isinstance(message, Fetch)]


@examples(40)
@given(number=st.integers(1, 40), order=st.randoms(use_true_random=False))
def test_bytes_that_are_requested_and_not_here_stay_within_the_budget(number: int, order: Any) -> None:
    async def play(flow: Flow, links: list[tuple[Exchange, Wire]]) -> None:
        data = [bytes([at]) * (3 * LEAST + at) for at in range(number)]
        waiting = [
            asyncio.ensure_future(link.fetch(Frame.of(one)))
            for one, (link, _) in zip(data, links, strict=True)
        ]
        served = [0] * number
        while not all(task.done() for task in waiting):
            await turns()
            due = [
                (at, fetch) for at, (_, wire) in enumerate(links) for fetch in requested(wire)[served[at] :]
            ]
            assert sum(fetch.size for _, fetch in due) == BUDGET - flow.free <= BUDGET
            if not due:
                continue
            at = order.choice(due)[0]  # a site that answers earlier than others
            fetch = requested(links[at][1])[served[at]]
            served[at] += 1
            piece = memoryview(data[at])[fetch.offset : fetch.offset + fetch.size]
            links[at][1].inbox.put_nowait(encode(Chunk(fetch.digest, fetch.offset, piece)))
        assert [bytes(task.result()) for task in waiting] == data

    on_links(number, play)


def test_what_a_link_that_is_cut_had_requested_is_room_for_others_and_is_requested_again() -> None:
    frame = Frame(bytes(32), 20 * BUDGET)

    async def play(flow: Flow, links: list[tuple[Exchange, Wire]]) -> None:
        (one, wire), (_, other) = links
        waiting = asyncio.ensure_future(one.fetch(frame))
        await turns()
        (first,) = requested(wire)
        wire.inbox.put_nowait(encode(Chunk(frame.digest, 0, memoryview(bytes(first.size)))))
        await turns()
        assert len(requested(wire)) == 1 + AHEAD
        assert flow.free == BUDGET - sum(fetch.size for fetch in requested(wire)[1:])
        wire.inbox.put_nowait(None)
        await turns()
        assert flow.free == BUDGET
        again = Wire()
        reader = asyncio.ensure_future(drain(one, again))
        await turns()
        assert [fetch.offset for fetch in requested(again)] == [first.size]
        one.give_up(frame)
        assert flow.free == BUDGET
        assert not requested(other)
        again.inbox.put_nowait(None)
        await reader
        assert waiting.cancelled() or not waiting.done()

    on_links(2, play)


def test_what_is_sent_waits_for_room_and_keeps_its_order() -> None:
    data = bytes(range(256)) * (BUDGET // 64)

    async def play(flow: Flow, links: list[tuple[Exchange, Wire]]) -> None:
        ((link, wire),) = links
        frame = Exchange().transfers.offer(data)
        link.transfers.offer(data, frame)
        room = [await flow.take(BUDGET) for _ in range(4)]
        half = len(data) // 2
        for begin in (0, half):
            wire.inbox.put_nowait(encode(Fetch(frame.digest, begin, half)))
        wire.inbox.put_nowait(encode(Beat()))
        await turns()
        assert not wire.sent
        flow.give(sum(room))
        while sum(piece.data.nbytes for piece in wire.sent) < len(data):
            await turns()
        assert b"".join(piece.data for piece in wire.sent) == data
        assert max(piece.data.nbytes for piece in wire.sent) <= LEAST

    on_links(1, play)


def test_more_than_was_requested_is_refused() -> None:
    receiver = Transfers()
    incoming = receiver.want(Frame(bytes(32), 100))
    incoming.request(10)
    with pytest.raises(DataError, match="bytes 0 to 10 were requested"):
        receiver.take(Chunk(bytes(32), 0, memoryview(bytes(11))))

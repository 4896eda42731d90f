"""How the ranks exchange their nodes' answers: whole where ranks are few, as sums where they are many.

If every rank sends its whole answer to every other, its traffic grows with the number of ranks. So among many
ranks, large leaves that are only added are summed instead: arrays with one all-reduce a dtype, leaves of
codes and scales with a quantised reduce-scatter and an all-gather, whose sums have 8 bits a value. Then a
rank sends about twice the size of its own update (three times where codes have 4 bits), for any number of
ranks. The rest, what is small or merges otherwise, goes to all in a header before. The header also lists the
leaves to be summed: all ranks read the same headers, so all run the same collectives. Every sum is computed
once and sent to all, so it has the same bits everywhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from math import prod
from typing import Any, final

import numpy as np
import torch

from talkoot.core.update import Leaf, Update
from talkoot.engines.events import Answer
from talkoot.engines.processes import wire
from talkoot.engines.ranks.collectives.group import Peers
from talkoot.engines.ranks.collectives.objects import all_gather_object
from talkoot.guards.packed import Blocks
from talkoot.guards.quantize import sum_blocks

DIRECT_RANKS = 4  # up to so many send whole answers: on a slow link each exchange costs a round trip
MIN_BYTES = 1024  # smallest leaf that is summed
_DTYPES = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64))

Message = tuple[int, list[Answer]]  # what a rank requests (see stop_request), and its nodes' answers


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The shape and type of a leaf, which all ranks must share to sum it."""

    shape: tuple[int, ...]
    dtype: str = ""  # name of the array's dtype; empty for codes and scales
    bits: int = 0  # of a code
    block: int = 0  # values for each scale

    @property
    def blocks(self) -> int:
        """Number of blocks of the leaf."""
        return -(-prod(self.shape) // self.block)

    def zero(self) -> Any:
        """A zero leaf of this form."""
        if self.dtype:
            return np.zeros(self.shape, self.dtype)
        codes = np.zeros((self.blocks, self.block * self.bits // 8), np.int8)
        return Blocks(codes=codes, scales=np.zeros(self.blocks, np.float32), shape=self.shape, bits=self.bits)


Forms = Mapping[str, Form]


def start(group: Peers, message: bytes, *, sums: bool) -> Callable[[], list[Message]]:
    """Start sending a packed `Message` to all ranks; the returned function waits and gives all, by rank.

    `sums` says that the merge is a plain sum and there is one answer, so large leaves may be summed. Sums are
    in one of the messages.
    """
    if sums and group.world > DIRECT_RANKS:
        return _in_background(lambda: _sum(group, message))
    finish = group.start_all_gather(message)
    return lambda: [wire.unpacked(each) for each in finish()]


def forms(update: Update) -> dict[str, Form]:
    """The leaves that are only added and large enough to be summed."""
    found = {name: _form(update.kind(name), value) for name, value in update.values.items()}
    return {name: form for name, form in found.items() if form is not None}


def _form(kind: Leaf, value: Any) -> Form | None:
    if kind is not Leaf.SUM:
        return None
    if isinstance(value, Blocks):
        return Form(shape=value.shape, bits=value.bits, block=value.block)
    if type(value) is np.ndarray and value.dtype in _DTYPES and value.nbytes >= MIN_BYTES:
        return Form(shape=value.shape, dtype=value.dtype.name)
    return None


def common_forms(all_forms: Sequence[Forms]) -> Forms | None:
    """The leaves of all ranks, in a form that holds each rank's; None if shapes differ.

    A rank with several nodes has summed their codes into arrays, so ranks may have arrays and codes.

    >>> one, other = Form(shape=(6,), dtype="float32"), Form(shape=(6,), bits=8, block=2)
    >>> common_forms([{"w": other}, {"w": other}, {}]) == {"w": other}
    True
    >>> common_forms([{"w": other}, {"w": one}]) == {"w": one}
    True
    """
    union: dict[str, Form] = {}
    for known in all_forms:
        for name, form in known.items():
            other = union.setdefault(name, form)
            if form.shape != other.shape:
                return None
            if form != other:
                widest = np.result_type(form.dtype or np.float32, other.dtype or np.float32)
                union[name] = Form(shape=form.shape, dtype=widest.name)
    return union


def _sum(group: Peers, message: bytes) -> list[Message]:
    """The messages of all ranks, with large leaves summed."""
    request, (answer,) = wire.unpacked(message)
    update = answer.update or Update()
    mine = forms(update)
    rest = {name: value for name, value in update.values.items() if name not in mine}
    header = request, [replace(answer, update=replace(update, values=rest))], mine
    headers = all_gather_object(group, header)
    messages: list[Message] = [(request, answers) for request, answers, _ in headers]
    common = common_forms([theirs for _, _, theirs in headers])
    if common is None:
        return [wire.unpacked(each) for each in group.all_gather(message)]
    if not common or any(each.failed for _, answers in messages for each in answers):
        return messages
    leaves = {name: update.values.get(name, form.zero()) for name, form in common.items()}
    first = next(answers for _, answers in messages if answers[0].nodes)
    other = first[0].update or Update()
    values = {**other.values, **sum_leaves(group, common, leaves)}
    first[0] = replace(first[0], update=replace(other, values=values))
    return messages


def sum_leaves(group: Peers, common: Forms, leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Sums of leaves over all ranks, with the same bits everywhere; all call this with the same forms."""
    sums: dict[str, Any] = {}
    for dtype in sorted({form.dtype for form in common.values() if form.dtype}):
        alike = {name: form for name, form in common.items() if form.dtype == dtype}
        flat = np.concatenate([np.asarray(leaves[name], dtype).reshape(-1) for name in alike])
        group.all_reduce(torch.from_numpy(flat))
        sums |= _split(flat, alike)
    for kind in sorted({(form.bits, form.block) for form in common.values() if not form.dtype}):
        alike = {name: form for name, form in common.items() if (form.bits, form.block) == kind}
        whole = Blocks.join(
            [leaves[name] for name in alike], (kind[1] * sum(f.blocks for f in alike.values()),)
        )
        sums |= _split_blocks(_sum_blocks(group, whole), alike)
    return {name: sums[name] for name in common}


def _sum_blocks(group: Peers, whole: Blocks) -> Blocks:
    """Each rank sums its slice of all ranks' blocks, and sends the sum to all."""
    parts = whole.split(group.world)
    own = parts[group.rank]
    slices = group.all_to_all([part.pack() for part in parts], [own.nbytes] * group.world)
    total = sum_blocks([own.unpack(raw) for raw in slices])
    likes = [Form(shape=part.shape, bits=total.bits, block=total.block).zero() for part in parts]
    sums = group.all_to_all([total.pack()] * group.world, [like.nbytes for like in likes])
    return Blocks.join([like.unpack(raw) for like, raw in zip(likes, sums, strict=True)], whole.shape)


def _split(flat: np.ndarray, alike: Forms) -> dict[str, np.ndarray]:
    ends = np.cumsum([prod(form.shape) for form in alike.values()])[:-1]
    pieces = zip(alike.items(), np.split(flat, ends), strict=True)
    return {name: piece.reshape(form.shape) for (name, form), piece in pieces}


def _split_blocks(whole: Blocks, alike: Forms) -> dict[str, Blocks]:
    ends = np.cumsum([form.blocks for form in alike.values()])[:-1]
    pieces = zip(alike.items(), np.split(whole.codes, ends), np.split(whole.scales, ends), strict=True)
    return {
        name: Blocks(codes=codes, scales=scales, shape=form.shape, bits=whole.bits)
        for (name, form), codes, scales in pieces
    }


def _in_background(work: Callable[[], list[Message]]) -> Callable[[], list[Message]]:
    """Run on a thread, while nodes go on; the returned function waits for the result."""
    done: Future[list[Message]] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done.result

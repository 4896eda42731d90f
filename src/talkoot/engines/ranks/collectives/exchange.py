"""How ranks hear what all nodes said: each from each where ranks are few, and as sums where they are many.

Where every rank sends all that it has to every other, its bytes grow with the ranks. So among many ranks the
large leaves, which are only to be added, go another way: arrays of numbers through one all-reduce a dtype,
leaves of codes and scales through a quantised reduce-scatter and an all-gather, whose sums have 8 bits a
value. Either way a rank sends about twice the size of its own update (three times where codes have 4 bits),
however many ranks there are. What is small, or merges otherwise, still goes to all, in a letter before, which
also says what will be added: all ranks read the same letters, so all take the same way. Every sum is made
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
from talkoot.engines.gathering import Answer
from talkoot.engines.processes import wire
from talkoot.engines.ranks.collectives.group import Peers
from talkoot.guards.packed import Blocks
from talkoot.guards.quantize import sum_blocks

FEW = 4  # ranks that tell each other all: on a slow link every exchange more costs a round trip
LARGE = 1024  # bytes of a leaf from which it is worth a sum
_ADDED = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64))

Said = tuple[int, list[Answer]]  # what a rank wants to do next, and what its nodes said


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What the same leaf must have in common at all ranks.

    Args:
        shape: of the array.
        dtype: its name; empty for codes and scales, which have
        bits: of a code, and
        block: values a scale.
    """

    shape: tuple[int, ...]
    dtype: str = ""
    bits: int = 0
    block: int = 0

    @property
    def blocks(self) -> int:
        """Blocks of the leaf."""
        return -(-prod(self.shape) // self.block)

    def zero(self) -> Any:
        """What a rank has that says nothing."""
        if self.dtype:
            return np.zeros(self.shape, self.dtype)
        codes = np.zeros((self.blocks, self.block * self.bits // 8), np.int8)
        return Blocks(codes=codes, scales=np.zeros(self.blocks, np.float32), shape=self.shape, bits=self.bits)


Forms = Mapping[str, Form]


def start(group: Peers, said: bytes, *, sums: bool) -> Callable[[], list[Said]]:
    """Start telling all ranks; the function that is returned waits until it is done.

    Args:
        group: the ranks.
        said: a packed `Said`.
        sums: the merge is a plain sum, and there is one answer, so that large leaves may be added on the way.

    Returns:
        What gives each rank's words, by rank. What was added on the way is in one of them.
    """
    if sums and group.world > FEW:
        return _beside(lambda: _summed(group, said))
    finish = group.start_gather(said)
    return lambda: [wire.unpacked(each) for each in finish()]


def forms(update: Update) -> dict[str, Form]:
    """The leaves that are large enough for a sum, and only to be added."""
    found = {name: _form(update.kind(name), value) for name, value in update.values.items()}
    return {name: form for name, form in found.items() if form is not None}


def _form(kind: Leaf, value: Any) -> Form | None:
    if kind is not Leaf.SUM:
        return None
    if isinstance(value, Blocks):
        return Form(shape=value.shape, bits=value.bits, block=value.block)
    if type(value) is np.ndarray and value.dtype in _ADDED and value.nbytes >= LARGE:
        return Form(shape=value.shape, dtype=value.dtype.name)
    return None


def agreed(all_forms: Sequence[Forms]) -> Forms | None:
    """The leaves that any rank has, in a form that holds all of theirs; None if shapes differ.

    A rank with several nodes has added up what they packed, so there are arrays beside codes.

    >>> one, other = Form(shape=(6,), dtype="float32"), Form(shape=(6,), bits=8, block=2)
    >>> agreed([{"w": other}, {"w": other}, {}]) == {"w": other}
    True
    >>> agreed([{"w": other}, {"w": one}]) == {"w": one}
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


def _summed(group: Peers, said: bytes) -> list[Said]:
    wish, (answer,) = wire.unpacked(said)
    update = answer.update or Update()
    mine = forms(update)
    letter = wish, [replace(answer, update=_without(update, mine))], mine
    letters = [wire.unpacked(each) for each in group.gather(wire.packed(letter))]
    heard: list[Said] = [(wish, answers) for wish, answers, _ in letters]
    ours = agreed([theirs for _, _, theirs in letters])
    if ours is None:
        return [wire.unpacked(each) for each in group.gather(said)]
    if not ours or any(each.failed for _, answers in heard for each in answers):
        return heard
    leaves = {name: update.values.get(name, form.zero()) for name, form in ours.items()}
    first = next(answers for _, answers in heard if answers[0].nodes)
    rest = first[0].update or Update()
    values = {**rest.values, **add(group, ours, leaves)}
    first[0] = replace(first[0], update=replace(rest, values=values))
    return heard


def _without(update: Update, names: Forms) -> Update:
    values = {name: value for name, value in update.values.items() if name not in names}
    return replace(update, values=values)


def add(group: Peers, ours: Forms, leaves: Mapping[str, Any]) -> dict[str, Any]:
    """The sums of leaves over all ranks, with the same bits everywhere.

    Args:
        group: the ranks; all call this with the same forms.
        ours: what the leaves are.
        leaves: this rank's.
    """
    sums: dict[str, Any] = {}
    for dtype in sorted({form.dtype for form in ours.values() if form.dtype}):
        alike = {name: form for name, form in ours.items() if form.dtype == dtype}
        flat = np.concatenate([np.asarray(leaves[name], dtype).reshape(-1) for name in alike])
        group.add(torch.from_numpy(flat))
        sums |= _cut(flat, alike)
    for kind in sorted({(form.bits, form.block) for form in ours.values() if not form.dtype}):
        alike = {name: form for name, form in ours.items() if (form.bits, form.block) == kind}
        whole = Blocks.join(
            [leaves[name] for name in alike], (kind[1] * sum(f.blocks for f in alike.values()),)
        )
        sums |= _cut_blocks(_add_blocks(group, whole), alike)
    return {name: sums[name] for name in ours}


def _add_blocks(group: Peers, whole: Blocks) -> Blocks:
    """Each rank sums its slice of what all have, and sends the sum to all."""
    parts = whole.split(group.world)
    own = parts[group.rank]
    slices = group.swap([part.pack() for part in parts], [own.nbytes] * group.world)
    total = sum_blocks([own.unpack(raw) for raw in slices])
    likes = [Form(shape=part.shape, bits=total.bits, block=total.block).zero() for part in parts]
    sums = group.swap([total.pack()] * group.world, [like.nbytes for like in likes])
    return Blocks.join([like.unpack(raw) for like, raw in zip(likes, sums, strict=True)], whole.shape)


def _cut(flat: np.ndarray, alike: Forms) -> dict[str, np.ndarray]:
    ends = np.cumsum([prod(form.shape) for form in alike.values()])[:-1]
    pieces = zip(alike.items(), np.split(flat, ends), strict=True)
    return {name: piece.reshape(form.shape) for (name, form), piece in pieces}


def _cut_blocks(whole: Blocks, alike: Forms) -> dict[str, Blocks]:
    ends = np.cumsum([form.blocks for form in alike.values()])[:-1]
    pieces = zip(alike.items(), np.split(whole.codes, ends), np.split(whole.scales, ends), strict=True)
    return {
        name: Blocks(codes=codes, scales=scales, shape=form.shape, bits=whole.bits)
        for (name, form), codes, scales in pieces
    }


def _beside(work: Callable[[], list[Said]]) -> Callable[[], list[Said]]:
    """Have it done on a thread, while nodes go on; the function that is returned waits for it."""
    done: Future[list[Said]] = Future()

    def do() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=do, daemon=True).start()
    return done.result

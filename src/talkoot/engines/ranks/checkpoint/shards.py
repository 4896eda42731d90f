"""The shards of a checkpoint: each rank writes its share, and reads the parts that it needs.

`torch.distributed.checkpoint` (DCP) plans, writes and reads. Sharded tensors (FSDP2) are written by
their ranks; replicated ones (DDP) are divided over the ranks, so that each is written once.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner, DefaultSavePlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, MetadataIndex
from torch.distributed.checkpoint.planner import LoadPlan, ReadItem, SavePlan, SavePlanner
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.checkpoint.storage import WriteResult
from torch.distributed.tensor import DTensor
from torch.futures import Future

from talkoot.core.errors import DataError
from talkoot.engines.ranks.checkpoint.folder import Folder, write
from talkoot.engines.ranks.checkpoint.index import Entry, Index, split

_PART = 1 << 22  # bytes that are read at once for a checksum


class Unreadable(Exception):
    """A shard file whose content has changed since it was written."""


class RanksDisconnected(Exception):
    """The ranks could not reach each other."""


@final
class Writer(FileSystemWriter):
    """DCP's writer, into a draft that gets its final name after all ranks have written."""

    def __init__(self, folder: Folder, step: int, keep: int, values: Any, world: int) -> None:
        super().__init__(folder.draft(step))
        self._folder, self._step, self._keep, self._values = folder, step, keep, values
        self._world = world

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        """Unchanged; the first rank makes the folder."""
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """At the first rank, before any writes."""
        if len(plans) != self._world:  # without its group, DCP writes alone
            raise RanksDisconnected(f"{len(plans)} of {self._world} ranks were there")
        for plan in plans:
            if odd := sorted(plan.planner_data ^ plans[0].planner_data):
                raise DataError(f"the ranks do not hold the same state: {', '.join(odd[:3])}")
        self._folder.begin(self._step)
        return super().prepare_global_plan(plans)

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """At every rank: write, and add checksums."""
        folder = self._folder.draft(self._step)
        done: Future[list[WriteResult]] = Future()
        done.set_result([_with_checksum(each, folder) for each in super().write_data(plan, planner).wait()])
        return done

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """At the first rank, after all have written."""
        super().finish(metadata, [[_plain(each) for each in part] for part in results])
        index = Index.of(self._values, metadata, [each for part in results for each in part])
        draft = self._folder.draft(self._step)
        if fault := index.fault(draft):
            raise DataError(fault, cure="The folder must be one that all nodes see.")
        write(draft / Index.FILE, index.text())
        self._folder.complete(self._step, self._keep)


@dataclass(frozen=True, slots=True)
class _Stored:
    """Where DCP wrote a piece, and the checksum of its bytes."""

    place: Any
    crc32: int


def _with_checksum(result: WriteResult, folder: Path) -> WriteResult:
    place = result.storage_data
    crc = checksum(folder / place.relative_path, place.offset, place.length)
    return replace(result, storage_data=_Stored(place, crc))


def _plain(result: WriteResult) -> WriteResult:
    """Without the checksum, for other tools that read DCP's metadata."""
    return replace(result, storage_data=result.storage_data.place)


def checksum(file: Path, offset: int, length: int) -> int:
    """The CRC-32 of some bytes of a file."""
    crc = 0
    with file.open("rb") as stream:
        stream.seek(offset)
        while length > 0 and (part := stream.read(min(length, _PART))):
            crc, length = zlib.crc32(part, crc), length - len(part)
    return crc


@final
class Planner(DefaultSavePlanner):
    """DCP's planner: shapes from the live tensors, contents from their copies."""

    def __init__(self, tensors: Mapping[str, Tensor], staged: Mapping[str, Tensor]) -> None:
        super().__init__(flatten_state_dict=False)
        self._tensors, self._staged = tensors, staged

    def create_local_plan(self) -> SavePlan:
        """The tensors that this rank writes, and the list of all its tensors, to compare ranks."""
        has = frozenset(f"{name} is {Entry.of(tensor)}" for name, tensor in self._tensors.items())
        return replace(super().create_local_plan(), planner_data=has)

    def lookup_object(self, index: MetadataIndex) -> Tensor:
        """The copy."""
        return self._staged[index.fqn]


def share(tensors: Mapping[str, Tensor], rank: int, world: int) -> dict[str, Tensor]:
    """The tensors that this rank writes: its shards, and its part of the replicated ones, largest first."""
    mine: dict[str, Tensor] = {}
    load = [0] * world
    for name, tensor in sorted(tensors.items(), key=lambda each: (-each[1].nbytes, each[0])):
        if isinstance(tensor, DTensor):
            mine[name] = tensor
            continue
        lightest = load.index(min(load))
        load[lightest] += tensor.nbytes
        if lightest == rank:
            mine[name] = tensor
    return mine


def stage(share: Mapping[str, Tensor], old: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of the tensors that this rank writes, in main memory; memory of `old` is used again."""
    staged = {}
    for name, tensor in share.items():
        local = (tensor.to_local() if isinstance(tensor, DTensor) else tensor).detach()
        copy = old.get(name)
        if copy is None or copy.shape != local.shape or copy.dtype != local.dtype:
            copy = torch.empty(local.shape, dtype=local.dtype, pin_memory=local.is_cuda)
        staged[name] = copy.copy_(local)
    return staged


def write_shards(
    share: dict[str, Tensor], *, writer: Writer, planner: Planner, group: ProcessGroup | None
) -> None:
    """Write this rank's share, together with the others.

    Raises:
        CheckpointException: the error of a rank, raised at all ranks.
        RanksDisconnected: a rank did not answer.
    """
    if group is not None:
        try:
            save(share, storage_writer=writer, planner=planner, process_group=group)
        except Exception as error:  # what goes wrong at a rank comes as a CheckpointException
            raise RanksDisconnected(str(error).partition("\n")[0]) from error
        return
    planner.set_up_planner(share, writer.storage_meta(), is_coordinator=True)
    writer.set_up_storage_writer(True)
    plans, metadata = planner.create_global_plan([writer.prepare_local_plan(planner.create_local_plan())])
    (plan,) = writer.prepare_global_plan(plans)
    results = writer.write_data(planner.finish_plan(plan), planner)
    writer.finish(metadata, [results.wait()])


def read_shards(place: Path, index: Index, tensors: dict[str, Tensor]) -> None:
    """Read the parts that this rank needs into `tensors`, file by file."""
    metadata = index.metadata()
    planner, reader = DefaultLoadPlanner(flatten_state_dict=False), FileSystemReader(place)
    planner.set_up_planner(tensors, metadata, is_coordinator=True)
    reader.set_up_storage_reader(metadata, is_coordinator=True)
    files: dict[str, list[ReadItem]] = {}
    for item in planner.create_local_plan().items:
        files.setdefault(metadata.storage_data[item.storage_index].relative_path, []).append(item)
    for file, items in files.items():
        _verify(place / file, [metadata.storage_data[item.storage_index] for item in items])
    for file, items in files.items():
        try:
            reader.read_data(LoadPlan(items), planner).wait()
        except Exception as error:
            raise Unreadable(f"{place / file} cannot be read ({error})") from error


def _verify(file: Path, pieces: Sequence[Any]) -> None:
    """Check the bytes against their checksums, before any tensor changes."""
    for piece in {each.offset: each for each in pieces}.values():
        try:
            found = checksum(file, piece.offset, piece.length)
        except OSError as error:
            raise Unreadable(f"{file} cannot be read ({error})") from error
        if found != piece.crc32:
            raise Unreadable(f"{file} has changed since it was written: its checksum does not match")


def targets(index: Index, state: Mapping[str, Any], step: int) -> dict[str, Tensor]:
    """The tensors to read into, by name: those of `state` where they fit, else new ones."""
    _, here = split(state)
    if "module" in state:
        _check_parameters(index.tensors, here, step)
    return {
        name: here[name] if name in here and entry.fits(here[name]) else entry.empty()
        for name, entry in index.tensors.items()
    }


def _check_parameters(saved: Mapping[str, Entry], here: Mapping[str, Tensor], step: int) -> None:
    """Refuse a module whose parameters are not those of the checkpoint."""
    names = [name for name in dict.fromkeys((*here, *saved)) if name.startswith("module/")]
    odd = [f"{name} is not in the checkpoint" for name in names if name not in saved]
    odd += [f"{name} is only in the checkpoint" for name in names if name not in here]
    odd += [
        f"{name} is {saved[name]} in the checkpoint and {Entry.of(here[name])} here"
        for name in names
        if name in saved and name in here and not saved[name].fits(here[name])
    ]
    if odd:
        more = f", and {len(odd) - 3} more" if len(odd) > 3 else ""
        raise DataError(
            f"the module is another one: {', '.join(odd[:3])}{more}",
            step=f"step {step}",
            cure="Build the module that was saved, or take another folder.",
        )

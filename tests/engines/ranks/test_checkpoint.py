"""Checkpoints: the same bits on any number of ranks, whole after any crash, and clear about what is wrong."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from together import alone, together
from torch import nn
from torch._C._distributed_c10d import FileStore
from torch.distributed.checkpoint.planner import SavePlan
from torch.distributed.checkpoint.state_dict import get_model_state_dict, get_optimizer_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from patience import patient
from talkoot.core.errors import DataError, NodeLost, PlanError
from talkoot.engines.ranks.checkpoint.checkpoint import Checkpoints, Damaged
from talkoot.engines.ranks.checkpoint.folder import Folder, sealed, unsealed
from talkoot.engines.ranks.checkpoint.index import Index, join, split
from talkoot.engines.ranks.checkpoint.shards import Severed, Writer, checksum

State = dict[str, Any]
OURS = {"batch": "8"}


class Job:
    """A small module in training, the same wherever it is built."""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.first = nn.Linear(5, 7)
        self.module = nn.Sequential(self.first, nn.Tanh(), nn.Linear(7, 1))
        self.optimizer = torch.optim.AdamW(self.module.parameters(), lr=0.01)
        self.scheduler = torch.optim.lr_scheduler.MultiStepLR(self.optimizer, [2, 4])
        self.step = 0

    def train(self, steps: int) -> Job:
        for _ in range(steps):
            rows = torch.randn(8, 5, generator=torch.Generator().manual_seed(self.step))
            self.optimizer.zero_grad()
            self.module(rows).square().mean().backward()
            self.optimizer.step()
            self.scheduler.step()
            self.step += 1
        return self

    def state(self) -> State:
        return {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "step": self.step,
        }

    def take(self, checkpoints: Checkpoints, group: Any = None, step: int | None = None) -> Job:
        state = self.state()
        assert checkpoints.load(state, group, step) == state["step"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.step = state["step"]
        return self


def same(one: Any, other: Any) -> bool:
    """Equal in every bit, and of the same kinds."""
    (text, tensors), (text2, tensors2) = split(one), split(other)
    return (
        json.dumps(text) == json.dumps(text2)
        and tensors.keys() == tensors2.keys()
        and all(
            t.dtype == tensors2[n].dtype and bits(t) == bits(tensors2[n]) and t.shape == tensors2[n].shape
            for n, t in tensors.items()
        )
    )


def bits(tensor: torch.Tensor) -> bytes:
    whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return bytes(whole.detach().contiguous().reshape(-1).view(torch.uint8).tolist())


def kept(folder: Path, *steps: int, group: Any = None, keep: int = 2) -> Checkpoints:
    """Checkpoints of a job at some steps."""
    checkpoints = Checkpoints(folder, settings=OURS, keep=keep)
    for step in steps:
        checkpoints.save(Job().train(step).state(), step, group)
    checkpoints.wait()
    return checkpoints


# What a state is

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
trees = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=3)
    ),
)


@given(trees)
def test_what_is_no_tensor_survives_as_text(tree: Any) -> None:
    values, tensors = split(tree)
    index = Index(values=values, tensors={})
    assert tensors == {}
    assert repr(join(Index.parse(index.text()).values, {})) == repr(tree)


@given(trees, trees)
def test_whatever_was_there_before_gives_way(tree: Any, before: Any) -> None:
    assert repr(join(split(tree)[0], {}, before)) == repr(tree)


def test_what_cannot_be_kept_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot hold the set at 'extra/seen'"):
        Checkpoints(tmp_path, settings=OURS).save({"extra": {"seen": {1}}}, 1, None)
    with pytest.raises(DataError, match="two tensors of the state are called 'a/0'"):
        split({"a": {0: torch.ones(1), "0": torch.ones(1)}})


# One process


def test_a_fresh_job_goes_on_where_the_other_was(tmp_path: Path) -> None:
    checkpoints, job = Checkpoints(tmp_path, settings=OURS), Job().train(3)
    checkpoints.save(job.state(), 3, None)
    job.train(3)  # while it is being written
    checkpoints.wait()
    fresh = Job(seed=1)
    weight = fresh.first.weight
    where = weight.data_ptr()
    fresh.take(Checkpoints(tmp_path, settings=OURS))
    assert weight.data_ptr() == where, "parameters are read in place"
    assert fresh.step == 3
    assert same(fresh.state(), Job().train(3).state())
    assert same(fresh.train(3).state(), job.state())


def test_every_dtype_and_shape(tmp_path: Path) -> None:
    dtypes = [
        torch.float64,
        torch.bfloat16,
        torch.float16,
        torch.int64,
        torch.uint8,
        torch.bool,
        torch.complex64,
    ]
    extra: State = {str(dtype): torch.arange(6).reshape(2, 3).to(dtype) for dtype in dtypes}
    extra |= {
        "none": torch.empty(0, 4),
        "number": torch.tensor(2.5),
        "odd": torch.tensor([0.0, -0.0, torch.nan]),
    }
    extra |= {
        "turned": torch.arange(6).reshape(2, 3).T,
        "part": torch.arange(100)[3:7],
        "list": [torch.ones(2)],
    }
    checkpoints = Checkpoints(tmp_path, settings=OURS)
    checkpoints.save({"extra": extra}, 1, None)
    state: State = {}
    assert checkpoints.load(state) == 1
    assert same(state, {"extra": extra})


def test_a_survivor_goes_back_to_what_was_saved(tmp_path: Path) -> None:
    checkpoints = kept(tmp_path, 1, 3)
    job = Job().train(5).take(checkpoints, step=1)
    assert same(job.state(), Job().train(1).state())
    checkpoints.save(job.train(1).state(), 2, None)
    checkpoints.wait()
    assert Checkpoints(tmp_path, settings=OURS).latest() == 2, "what came after was given up"


def test_only_the_newest_stay_and_a_step_may_be_saved_again(tmp_path: Path) -> None:
    (tmp_path / ".tmp-step-00000009").mkdir(parents=True)
    checkpoints = kept(tmp_path, 1, 2, 3)
    checkpoints.save(Job().train(4).state(), 3, None)
    checkpoints.wait()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["plan.json", "step-00000002", "step-00000003"]
    state: State = {}
    checkpoints.load(state)
    assert state["step"] == 4


def test_finished_stays_finished(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, settings=OURS)
    assert checkpoints.finished is None
    checkpoints.save(Job().state(), 5, None)
    checkpoints.finish(5)
    assert checkpoints.latest() == 5, "the mark comes after the checkpoint"
    assert Checkpoints(tmp_path, settings=OURS).finished == 5
    kept(tmp_path, 6)
    assert Checkpoints(tmp_path, settings=OURS).finished == 5


# Any number of ranks


def save_and_load(rank: int, folder: Path) -> list[tuple[int, int]]:
    """Save on 1, 2 and 3 of three ranks, load on 1, 2 and 3, and say which did not come back."""
    groups = [dist.new_group(list(range(world)), backend="gloo") for world in (1, 2, 3)]
    wrong = []
    for saved, group in enumerate(groups, 1):
        if rank < saved:
            kept(folder / str(saved), saved, group=group)
        dist.barrier()
        for loaded, other in enumerate(groups, 1):
            if rank < loaded:
                job = Job(seed=rank).take(Checkpoints(folder / str(saved), settings=OURS), other)
                wrong += [] if same(job.state(), Job().train(saved).state()) else [(saved, loaded)]
    return wrong


def test_replicated_states_come_back_on_any_number_of_ranks(tmp_path: Path) -> None:
    assert together(tmp_path, 3, save_and_load, tmp_path) == [[], [], []]
    for world in (1, 2, 3):
        checkpoints = Checkpoints(tmp_path / str(world), settings=OURS)
        assert same(Job(seed=1).take(checkpoints).state(), Job().train(world).state()), "in one process"
        place = checkpoints.folder.place(world)
        index = Index.parse((place / Index.FILE).read_text())
        pieces = [(p.relative_path, p.length) for e in index.tensors.values() for p in e.pieces]
        assert len(pieces) == len(split(Job().train(world).state())[1]), "each is written once"
        assert {file for file, _ in pieces} == {f"__{rank}_0.distcp" for rank in range(world)}


def sharded(job: Job, world: int) -> tuple[Job, Callable[[], State]]:
    """The job as FSDP2 has it, and its state."""
    mesh = init_device_mesh("cpu", (world,))
    fully_shard(job.module, mesh=mesh)
    job.optimizer = torch.optim.AdamW(job.module.parameters(), lr=0.01)
    return job, lambda: named(job)


def named(job: Job) -> State:
    """A state under the names of parameters, so that it fits both kinds of modules."""
    return {
        "module": get_model_state_dict(job.module),
        "optimizer": get_optimizer_state_dict(job.module, job.optimizer),
    }


def save_sharded(rank: int, folder: Path, world: int) -> bool:
    job, state = sharded(Job(), world)
    checkpoints = Checkpoints(folder, settings=OURS)
    if checkpoints.latest() is None:
        job.module(torch.ones(1, 5)).sum().backward()
        job.optimizer.step()
        group = dist.new_group(backend="gloo")
        checkpoints.save(state(), 1, group)
        checkpoints.wait()
        return True
    with torch.no_grad():
        for parameter in job.module.parameters():
            parameter.zero_()
    found = state()
    checkpoints.load(found, dist.group.WORLD)
    whole: State = {}
    checkpoints.load(whole)
    return same(found, whole) and any(isinstance(each, DTensor) for each in split(found)[1].values())


def test_shards_come_back_on_another_number_of_ranks_and_on_none(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert together(tmp_path, 2, save_sharded, folder, 2) == [True, True]
    job = Job()
    job.module(torch.ones(1, 5)).sum().backward()
    job.optimizer.step()
    fresh = Job(seed=1)
    state = named(fresh)
    Checkpoints(folder, settings=OURS).load(state)
    expected = named(job)
    assert same(state["module"], expected["module"])
    assert same(state["optimizer"]["state"], expected["optimizer"]["state"])
    assert together(tmp_path, 3, save_sharded, folder, 3) == [True, True, True]


# Crashes


def die_at(call: int) -> None:
    """Kill this process, for real, at the n-th time from now that it changes something on the disk."""
    left = [call]

    def counting(function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **named)

        return counted

    os.fsync = counting(os.fsync)
    os.rename = counting(os.rename)
    os.replace = counting(os.replace)
    os.rmdir = counting(os.rmdir)


def killed(folder: Path, step: int, call: int) -> bool:
    """Save in a process that kills itself at its n-th change; whether it came so far."""
    process = os.fork()
    if process == 0:
        die_at(call)
        kept(folder, step)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL


def kill_at_each_moment(folder: Path) -> None:
    kept(folder, 1, 2)
    newest, call = 2, 1
    while killed(folder, newest + 1, call):
        checkpoints = Checkpoints(folder, settings=OURS)
        job = Job(seed=1).take(checkpoints)
        assert job.step in {newest, newest + 1}, "at most the one under way is lost"
        assert same(job.state(), Job().train(job.step).state())
        newest, call = job.step, call + 1
    assert Checkpoints(folder, settings=OURS).latest() == newest + 1, "it came through in the end"
    assert call > 8, "there were that many moments"
    assert newest > 2, "some came after it was complete"
    assert not list(folder.glob(".tmp-*")), "what the kills left is gone"


def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    with alone(kill_at_each_moment, tmp_path) as process:
        process.join(60)
        assert process.exitcode == 0


def lose_a_rank(rank: int, folder: Path) -> Any:
    group = dist.new_group(backend="gloo")
    checkpoints = kept(folder, 1, group=group)
    if rank == 1:
        die_at(1)
    checkpoints.save(Job().train(2).state(), 2, group)
    with pytest.raises(NodeLost) as caught:
        checkpoints.wait()
    return str(caught.value)


def test_a_rank_that_is_killed_while_it_writes(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    said, code = together(tmp_path, 2, lose_a_rank, folder)
    assert code == -signal.SIGKILL
    assert "checkpoint of step 2" in said
    assert "Step 1 is complete" in said
    assert (folder / ".tmp-step-00000002").is_dir()
    assert Job(seed=1).take(Checkpoints(folder, settings=OURS)).step == 1
    kept(folder, 3)
    assert not list(folder.glob(".tmp-*")), "what the crash left is gone"


LEAVING = """
import sys, torch, torch.distributed as dist
from talkoot.engines.ranks.checkpoint import checkpoint
checkpoint.PATIENCE = 0.5
dist.init_process_group("gloo", store=dist.FileStore(sys.argv[1] + ".store", 2), rank=0, world_size=2)
group = dist.new_group(backend="gloo")
dist.barrier()
checkpoints = checkpoint.Checkpoints(sys.argv[1])
checkpoints.save({"w": torch.ones(10)}, 1, group)
print("waiting", flush=True)
checkpoints.wait()
"""


def hang(store: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", store=FileStore(store, 2), rank=1, world_size=2)
    dist.new_group(backend="gloo")
    dist.barrier()
    os.kill(os.getpid(), signal.SIGSTOP)


def test_an_interrupt_does_not_wait_for_a_rank_that_hangs(tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    with (
        alone(hang, run + ".store"),
        subprocess.Popen(
            [sys.executable, "-c", LEAVING, run],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"GLOO_SOCKET_IFNAME": "lo"},
            text=True,
        ) as leaving,
    ):
        try:
            assert leaving.stdout is not None
            started = leaving.stdout.readline()
            leaving.send_signal(signal.SIGINT)
            _, said = leaving.communicate(timeout=patient())
        finally:
            leaving.kill()
    assert started == "waiting\n", said
    assert "KeyboardInterrupt" in said
    assert leaving.returncode in {-signal.SIGINT, -signal.SIGABRT}, "gloo may abort a thread that still waits"


# What is wrong, in words


def test_a_shard_that_is_gone_cut_or_spoiled_is_named(tmp_path: Path) -> None:
    checkpoints = kept(tmp_path, 1, 2)
    shard = checkpoints.folder.place(2) / "__0_0.distcp"
    whole = shard.read_bytes()
    job = Job(seed=1)
    before = job.first.weight.clone()
    shard.unlink()
    with pytest.raises(
        DataError,
        match=r"step 2: .*__0_0.distcp is missing. Start again after `rm -r .*step-00000002`: step 1 is",
    ):
        job.take(checkpoints)
    shard.write_bytes(whole[:-100])
    with pytest.raises(
        DataError, match=r"step 2: .*__0_0.distcp is cut short: \d+ of \d+ bytes. Start again"
    ):
        job.take(checkpoints)
    assert torch.equal(job.first.weight, before), "nothing was touched"
    shard.write_bytes(b"\0" * len(whole))
    with pytest.raises(Damaged, match=r"step 2: .*__0_0.distcp has changed since it was written"):
        job.take(checkpoints)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    shard.write_bytes(flipped)
    with pytest.raises(Damaged, match=r"step 2: .*__0_0.distcp has changed since it was written"):
        job.take(checkpoints)
    assert torch.equal(job.first.weight, before), "still nothing was touched"
    (checkpoints.folder.place(2) / Index.FILE).write_text("[]")
    with pytest.raises(DataError, match=r"step 2: .*index.json cannot be read"):
        job.take(checkpoints)
    assert job.take(checkpoints, step=1).step == 1


def test_there_is_none(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "none", settings=OURS)
    assert checkpoints.latest() is None
    with pytest.raises(DataError, match="no complete checkpoint. Start again"):
        checkpoints.load({})
    with pytest.raises(DataError, match=r"no complete checkpoint of step 7. Complete are the steps 1\."):
        kept(tmp_path, 1).load({}, step=7)


def test_another_module_is_refused_by_its_parameters(tmp_path: Path) -> None:
    checkpoints = kept(tmp_path, 1)
    state = Job().state()
    del state["module"]["0.bias"]
    state["module"]["9.bias"] = torch.ones(1)
    state["module"]["2.bias"] = torch.ones(4)
    with pytest.raises(DataError) as caught:
        checkpoints.load(state)
    said = str(caught.value)
    assert "module/9.bias is not in the checkpoint" in said
    assert "module/0.bias is only in the checkpoint" in said
    assert "module/2.bias is float32[1] in the checkpoint and float32[4] here" in said
    with pytest.raises(DataError, match="and bfloat16"):
        checkpoints.load({"module": Job().module.bfloat16().state_dict()})


def test_another_training_is_refused(tmp_path: Path) -> None:
    ours = kept(tmp_path, 1)
    with pytest.raises(PlanError, match=r"another training \(batch: 8 in the folder, 4 now; loss: .*Give"):
        Checkpoints(tmp_path, settings={"batch": "4", "loss": "mse"})
    (tmp_path / "plan.json").write_text(sealed({"settings": {"batch": "4"}, "finished": None}))
    with pytest.raises(PlanError, match="another training"):
        ours.load({})
    with pytest.raises(PlanError, match="another training"):
        kept(tmp_path, 2)
    (tmp_path / "plan.json").write_text("?")
    with pytest.raises(DataError, match=r"plan.json cannot be read"):
        Checkpoints(tmp_path, settings=OURS)
    with pytest.raises(PlanError, match="keep=0 would leave no checkpoint"):
        Checkpoints(tmp_path, settings=OURS, keep=0)


def test_a_folder_that_cannot_be_written_is_said_at_the_next_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    checkpoints = Checkpoints(tmp_path / "file" / "run", settings=OURS)
    calls: list[Callable[[], None]] = [lambda: checkpoints.save({}, 2, None), checkpoints.wait]
    for again in calls:
        checkpoints.save({"w": torch.ones(2)}, 1, None)
        with pytest.raises(
            DataError, match=r"checkpoint of step 1: .*Not a directory.*No checkpoint is complete"
        ):
            again()
    with pytest.raises(DataError, match="Not a directory"):
        checkpoints.finish(1)


def fill_the_disk(rank: int, folder: Path) -> list[str]:
    group = dist.new_group(backend="gloo")
    checkpoints = kept(folder, 1, group=group)
    if rank == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, -1))
    said = []
    for state in (Job().train(2).state(), {"only": {str(rank): torch.ones(1)}}):
        checkpoints.save(state, 2, group)
        with pytest.raises(DataError) as caught:
            checkpoints.wait()
        said.append(str(caught.value))
    return said


def test_a_disk_that_is_full_at_one_rank_is_told_at_all(tmp_path: Path) -> None:
    one, other = together(tmp_path, 2, fill_the_disk, tmp_path / "run")
    assert one == other
    assert "node 'rank 1', checkpoint of step 2: " in one[0]
    assert "File too large" in one[0]
    assert "Step 1 is complete. Make room, or take another folder." in one[0]
    assert "the ranks do not hold the same state: only/" in one[1]


def load_unlike(rank: int, folder: Path) -> str:
    state = Job().state()
    if rank == 1:
        del state["module"]["0.bias"]
    with pytest.raises(DataError) as caught:
        Checkpoints(folder, settings=OURS).load(state, dist.group.WORLD)
    return str(caught.value)


def test_what_one_rank_cannot_load_none_does(tmp_path: Path) -> None:
    kept(tmp_path / "run", 1)
    one, other = together(tmp_path, 2, load_unlike, tmp_path / "run")
    assert one == other
    assert "module/0.bias is only in the checkpoint" in one


class Trap:
    """Runs code where somebody unpickles it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


def test_pickles_in_the_folder_are_not_run(tmp_path: Path) -> None:
    checkpoints = kept(tmp_path / "run", 1)
    place, sprung = checkpoints.folder.place(1), tmp_path / "sprung"
    (place / ".metadata").write_bytes(pickle.dumps(Trap(sprung)))
    assert Job(seed=1).take(checkpoints).step == 1
    shard = place / "__0_0.distcp"
    index = unsealed((place / Index.FILE).read_text())
    for entry in index["tensors"].values():
        entry["pieces"][0]["offset"] = 0
    torch.save(Trap(sprung), shard)
    for entry in index["tensors"].values():
        entry["pieces"][0]["length"] = shard.stat().st_size
        entry["pieces"][0]["crc32"] = checksum(shard, 0, shard.stat().st_size)
    (place / Index.FILE).write_text(sealed(index))
    with pytest.raises(DataError, match="cannot be read"):
        checkpoints.load({})
    assert not sprung.exists()


def left_at_once(rank: int, folder: Path) -> None:
    checkpoints = Checkpoints(folder, settings=OURS)
    group = dist.new_group(backend="gloo")
    checkpoints.save(Job().train(1).state(), 1, group)
    dist.destroy_process_group()
    with contextlib.suppress(NodeLost, DataError):
        checkpoints.wait()


def test_what_a_rank_wrote_alone_is_no_checkpoint(tmp_path: Path) -> None:
    writer = Writer(Folder(tmp_path, OURS), 1, 2, {}, 2)
    with pytest.raises(Severed, match="1 of 2 ranks"):
        writer.prepare_global_plan([SavePlan([], planner_data=frozenset())])
    for number in range(3):  # the group goes at any point of the writing
        folder = tmp_path / str(number)
        together(tmp_path, 2, left_at_once, folder)
        if Checkpoints(folder, settings=OURS).latest() is not None:
            assert Checkpoints(folder, settings=OURS).load(Job().state()) == 1

"""Plain PyTorch: ``torchrun`` and DistributedDataParallel over gloo."""

import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler

from deep_contenders import task
from deep_contenders.meter import Meter, job, write


def main() -> None:
    this, meter = job(), Meter()
    dist.init_process_group("gloo")
    module = task.build(this.model)
    model = DistributedDataParallel(module)
    optimizer = task.optimizer_of(model.parameters())
    data = task.InMemory(this.folder)
    sampler: DistributedSampler[object] = DistributedSampler(data, drop_last=True)
    loader = DataLoader(
        data,
        batch_size=task.BATCH[this.model],
        sampler=sampler,
        drop_last=True,
        collate_fn=task.as_it_is,
    )
    for X, y in task.stream(loader, this.steps, sampler.set_epoch):
        optimizer.zero_grad()
        task.loss_of(model(X), y).backward()
        optimizer.step()
        meter.step()
    if dist.get_rank() == 0:
        write(meter.points, module, this)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()

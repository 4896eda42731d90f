"""One process whose threads share each step; its batch is what the others' workers take together."""

from torch.utils.data import DataLoader

from deep_contenders import task
from deep_contenders.meter import Meter, job, write


def main() -> None:
    this, meter = job(), Meter()
    module = task.build(this.model)
    optimizer = task.optimizer_of(module.parameters())
    loader = DataLoader(
        task.InMemory(this.folder),
        batch_size=task.BATCH[this.model] * task.WORKERS,
        shuffle=True,
        drop_last=True,
        collate_fn=task.as_it_is,
    )
    for X, y in task.stream(loader, this.steps, lambda epoch: None):
        optimizer.zero_grad()
        task.loss_of(module(X), y).backward()
        optimizer.step()
        meter.step()
    write(meter.points, module, this)


if __name__ == "__main__":
    main()

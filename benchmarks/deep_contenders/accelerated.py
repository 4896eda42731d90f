"""Hugging Face Accelerate under ``torchrun``: on CPUs ``accelerate launch`` would need MPI."""

from accelerate import Accelerator
from torch.utils.data import DataLoader

from deep_contenders import task
from deep_contenders.meter import Meter, job, write


def main() -> None:
    this, meter = job(), Meter()
    accelerator = Accelerator(cpu=True)
    module = task.build(this.model)
    loader = DataLoader(
        task.InMemory(this.folder),
        batch_size=task.BATCH[this.model],
        shuffle=True,
        drop_last=True,
        collate_fn=task.as_it_is,
    )
    model, optimizer, loader = accelerator.prepare(module, task.optimizer_of(module.parameters()), loader)
    for X, y in task.stream(loader, this.steps, loader.set_epoch):
        optimizer.zero_grad()
        accelerator.backward(task.loss_of(model(X), y))
        optimizer.step()
        meter.step()
    if accelerator.is_main_process:
        write(meter.points, module, this)
    accelerator.end_training()


if __name__ == "__main__":
    main()

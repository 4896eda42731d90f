"""Lightning Fabric: ``python script.py``, which starts the second process itself."""

from lightning_fabric import Fabric
from torch.utils.data import DataLoader

from deep_contenders import task
from deep_contenders.meter import Meter, job, write


def main() -> None:
    this, meter = job(), Meter()
    fabric = Fabric(accelerator="cpu", devices=task.WORKERS, strategy="ddp")
    fabric.launch()
    module = task.build(this.model)
    model, optimizer = fabric.setup(module, task.optimizer_of(module.parameters()))
    loader = fabric.setup_dataloaders(
        DataLoader(
            task.InMemory(this.folder),
            batch_size=task.BATCH[this.model],
            shuffle=True,
            drop_last=True,
            collate_fn=task.as_it_is,
        )
    )
    for X, y in task.stream(loader, this.steps, lambda epoch: None):  # Fabric's loader counts its epochs
        optimizer.zero_grad()
        fabric.backward(task.loss_of(model(X), y))
        optimizer.step()
        meter.step()
    if fabric.is_global_zero:
        write(meter.points, module, this)


if __name__ == "__main__":
    main()

"""Ray Train: a TorchTrainer of two workers on a Ray that it starts itself."""

from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
from torch.utils.data import DataLoader

from deep_contenders import task
from deep_contenders.meter import Job, Meter, job, write


def train(config: dict[str, Any]) -> None:
    this, meter = Job(**config), Meter()
    module = task.build(this.model)
    model = ray.train.torch.prepare_model(module)
    optimizer = task.optimizer_of(model.parameters())
    loader = ray.train.torch.prepare_data_loader(
        DataLoader(
            task.InMemory(this.folder),
            batch_size=task.BATCH[this.model],
            shuffle=True,
            drop_last=True,
            collate_fn=task.as_it_is,
        )
    )
    for X, y in task.stream(loader, this.steps, loader.sampler.set_epoch):
        optimizer.zero_grad()
        task.loss_of(model(X), y).backward()
        optimizer.step()
        meter.step()
    if ray.train.get_context().get_world_rank() == 0:
        write(meter.points, module, this)


def main() -> None:
    this = job()
    trainer = ray.train.torch.TorchTrainer(
        train,
        train_loop_config=vars(this),
        scaling_config=ray.train.ScalingConfig(num_workers=task.WORKERS),
        run_config=ray.train.RunConfig(storage_path=str(Path(this.folder, "ray").absolute())),
    )
    trainer.fit()


if __name__ == "__main__":
    main()

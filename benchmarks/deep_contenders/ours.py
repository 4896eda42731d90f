"""Talkoot: one call, its two workers started by it."""

from pathlib import Path
from typing import Any

import talkoot as tk
from deep_contenders import task
from deep_contenders.meter import Job, Point, job, write
from talkoot.watch import events


def points_of(log: Path) -> list[Point]:
    """Steps done and unix time of each step in the log of events, which has the first and a few a second."""
    return [(event["step"], event["t"]) for event in events.read(log) if event["event"] == "step"]


def fit(this: Job, log: Path) -> Any:
    def build() -> Any:
        module = task.build(this.model)
        return module, task.optimizer_of(module.parameters())

    batch = task.BATCH[this.model] * task.WORKERS
    learner = tk.Torch(build, task.loss_of, batch=batch, epochs=this.steps * batch / task.ROWS)
    data = task.arrays(this.folder)
    return tk.fit(learner, data, on=tk.Local(task.WORKERS), sync=tk.every_step(), log=log, progress=False)


def main() -> None:
    this = job()
    log = this.out.with_name("events.jsonl")
    log.unlink(missing_ok=True)
    result = fit(this, log)
    write(points_of(log), result.model, this)


if __name__ == "__main__":
    main()

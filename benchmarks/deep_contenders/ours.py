"""Talkoot: one call, its two workers started by it."""

from functools import partial
from typing import Any

import talkoot as tk
from deep_contenders import task
from deep_contenders.meter import Job, Point, job, write


def points_of(history: Any) -> list[Point]:
    """Steps done and unix time of each entry of a fit's history; the first is the end of step 1."""
    return [(entry.step, entry.time) for entry in history]


def fit(this: Job) -> Any:
    learner = tk.Torch(
        partial(task.build, this.model),
        task.loss_of,
        optimizer=task.optimizer_of,
        batch=task.BATCH[this.model],
        steps=this.steps,
    )
    data = task.arrays(this.folder)
    return tk.fit(learner, data, on=tk.Local(task.WORKERS), sync=tk.every_step(), progress=False)


def main() -> None:
    this = job()
    result = fit(this)
    write(points_of(result.history), result.model, this)


if __name__ == "__main__":
    main()

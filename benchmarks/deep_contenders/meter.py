"""What a contender says of its run: when each step ended, and the loss at the end; deep.py makes the rates.

One JSON object, written to the file OUT by rank 0 (launchers mix their own lines into stdout):

    {"points": [[steps done, unix time], ...], "loss": held-out loss after the last step}

The first point must be the end of step 1; the others may lie as far apart as is at hand.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deep_contenders.task import arrays, loss_of

Point = tuple[int, float]


@dataclass(frozen=True)
class Job:
    """The arguments of a contender."""

    model: str
    steps: int
    folder: Path
    out: Path


def job() -> Job:
    parser = argparse.ArgumentParser()
    for name, kind in (("model", str), ("steps", int), ("folder", Path), ("out", Path)):
        parser.add_argument(name, type=kind)
    return Job(**vars(parser.parse_args()))


class Meter:
    """Notes the time after each step."""

    def __init__(self) -> None:
        self.points: list[Point] = []

    def step(self) -> None:
        self.points.append((len(self.points) + 1, time.time()))


@torch.no_grad()
def held_out_loss(module: nn.Module, folder: Path) -> float:
    X, y = (torch.from_numpy(a) for a in arrays(folder, "held_out"))
    return float(loss_of(module.eval()(X), y))


def write(points: Iterable[Point], module: nn.Module, this: Job) -> None:
    report: dict[str, Any] = {"points": list(points), "loss": held_out_loss(module, this.folder)}
    this.out.write_text(json.dumps(report))

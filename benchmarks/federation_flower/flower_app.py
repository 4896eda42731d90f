"""The same round in Flower: a model of a given size goes to each node, and an update of that size back."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

server = ServerApp()
client = ClientApp()
began: list[float] = []  # when each round began


class Timed(FedAvg):
    def configure_train(self, *args: Any, **more: Any) -> Any:
        began.append(time.perf_counter())
        return super().configure_train(*args, **more)


@server.main()
def main(grid: Any, context: Any) -> None:
    given = context.run_config
    model = ArrayRecord([np.zeros(int(given["size"]) // 8)])
    nodes = int(given["nodes"])
    strategy = Timed(fraction_evaluate=0.0, min_train_nodes=nodes, min_available_nodes=nodes)
    found = strategy.start(grid=grid, initial_arrays=model, num_rounds=int(given["rounds"]))
    began.append(time.perf_counter())
    (last,) = found.arrays.to_numpy_ndarrays()
    assert (last == given["rounds"]).all()
    Path(given["out"]).write_text(json.dumps(np.diff(began).tolist()))


@client.train()
def train(message: Any, context: Any) -> Any:
    arrays = [array + 1.0 for array in message.content["arrays"].to_numpy_ndarrays()]
    content = {"arrays": ArrayRecord(arrays), "metrics": MetricRecord({"num-examples": 1})}
    return Message(content=RecordDict(content), reply_to=message)

"""Every row of a broker counts exactly once, whatever is killed: the broker, or who learns from it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brokers import Broker
from killing import SMALL_ONE, SMALL_THREE, counted, ended, start, stored
from tiny import table

from patience import patient, soon

COLUMNS = {"a": "float64", "b": "float64", "y": "int64"}
FIVE = {"rows": [300, 260, 340, 200, 150], "nodes": 3}  # two nodes have two partitions each
Topics = Callable[[str, int], None]


def in_redis(broker: Broker, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What follows rows in streams of Redis, which are added."""
    import redis

    url, streams = f"redis://{broker.address}/0", []
    with redis.Redis.from_url(url) as client:
        for part, rows in enumerate(settings["rows"]):
            streams.append(f"{name}-{part}")
            for row in table(rows, part).to_pylist():
                client.xadd(streams[-1], {"value": json.dumps(row)})
    return {**settings, "source": "redis", "at": streams, "url": url, "columns": COLUMNS}


def in_kafka(broker: Broker, new_topic: Topics, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What follows rows in a topic of Kafka, which is made."""
    import confluent_kafka

    new_topic(name, len(settings["rows"]))
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.address, "log_level": 0})
    for part, rows in enumerate(settings["rows"]):
        for row in table(rows, part).to_pylist():
            producer.produce(name, json.dumps(row).encode(), partition=part)
    assert producer.flush(patient()) == 0
    return {**settings, "source": "kafka", "at": name, "url": broker.address, "columns": COLUMNS}


def disturbed(store: Path, settings: dict[str, Any], broker: Broker, server: int, itself: int) -> int | None:
    """Follow while the broker is killed at a line, and started again; returns how following ended.

    Args:
        store: the store.
        settings: what is followed.
        broker: its broker.
        server: the line at which the broker is killed.
        itself: the line at which the process is killed.
    """
    process = start(store, {**settings, "kills": [[server, broker.pid], [itself, None]]})
    assert soon(lambda: broker.killed or process.exitcode not in (None, -signal.SIGKILL))  # it may die last
    if broker.killed:
        broker.start()
    return ended(process)


def check(folder: Path, settings: dict[str, Any], broker: Broker, times: int) -> None:
    """As often as given both are killed in a run, and then the broker in one more that goes to its end."""
    lines = counted(folder / "calm", settings)
    rng = np.random.default_rng(times)
    for _ in range(times):
        server, itself = sorted(rng.choice(lines // (times + 1), 2, replace=False) + 1)
        code = disturbed(folder / "killed", settings, broker, int(server), int(itself))
        assert code == -signal.SIGKILL
    assert disturbed(folder / "killed", settings, broker, lines // 8, -1) == 0
    assert stored(folder / "killed") == stored(folder / "calm")


@pytest.mark.parametrize(
    "settings", [SMALL_ONE, pytest.param(SMALL_THREE, marks=pytest.mark.slow)], ids=["one", "three"]
)
def test_a_killed_server_of_redis_and_killed_runs_change_nothing(
    tmp_path: Path, redis_server: Broker, settings: dict[str, Any]
) -> None:
    check(tmp_path, in_redis(redis_server, tmp_path.name, settings), redis_server, 2)


def test_a_killed_broker_of_kafka_and_a_killed_run_change_nothing(
    tmp_path: Path, kafka_broker: Broker, new_topic: Topics
) -> None:
    settings = in_kafka(kafka_broker, new_topic, tmp_path.name, SMALL_THREE)
    check(tmp_path, settings, kafka_broker, 1)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"rows": [900]}, FIVE], ids=["one", "three"])
@pytest.mark.parametrize("kind", ["kafka", "redis"])
def test_twenty_kills_of_broker_and_run_change_nothing(
    tmp_path: Path,
    kafka_broker: Broker,
    redis_server: Broker,
    new_topic: Topics,
    kind: str,
    settings: dict[str, Any],
) -> None:
    if kind == "kafka":
        check(tmp_path, in_kafka(kafka_broker, new_topic, tmp_path.name, settings), kafka_broker, 20)
    else:
        check(tmp_path, in_redis(redis_server, tmp_path.name, settings), redis_server, 20)

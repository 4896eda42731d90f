"""Flower's deployment engine on this machine: a superlink and supernodes over TLS, for federation.py."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

APP = Path(__file__).parent / "federation_flower"
HOST = "127.0.0.1"
START = 120.0  # seconds until a port is open, at most
RUN = 900.0  # seconds of a run, at most


def certificate(folder: Path) -> None:
    """A certificate of this machine that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(host, critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


@contextmanager
def flower(python: Path, folder: Path, nodes: int) -> Iterator[dict[str, str]]:
    """A superlink with its supernodes; yields the environment in which `flwr run` finds it."""
    certificate(folder)
    home, port, programs = folder / "flower", free_port(), python.parent
    home.mkdir()
    ca = folder / "ca.pem"
    lines = ("[superlink]", 'default = "here"', "[superlink.here]", f'address = "{HOST}:{port}"')
    (home / "config.toml").write_text("\n".join([*lines, f'root-certificates = "{ca}"\n']))
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "FLWR_HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0", "PATH": path}
    tls = ["--ssl-certfile", ca, "--ssl-keyfile", folder / "key.pem", "--ssl-ca-certfile", ca]
    superlink = ["flower-superlink", *tls, "--port", str(port), "--disable-runtime-dependency-installation"]
    supernode = ["flower-supernode", "--root-certificates", ca, "--superlink", f"{HOST}:{port}", "--port"]
    started = []
    with (folder / "flower.log").open("w") as log:

        def start(program: str, *options: str | Path) -> None:
            command = [programs / program, *options]
            started.append(subprocess.Popen(command, env=env, stdout=log, stderr=log))

        try:
            start(*superlink)
            wait_for(port)
            for _ in range(nodes):
                start(*supernode, str(free_port()))
            yield env
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait()


def wait_for(port: int) -> None:
    ends = time.monotonic() + START
    while True:
        try:
            return socket.create_connection((HOST, port), 1).close()
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.2)


def rounds_of(
    python: Path, env: dict[str, str], folder: Path, *, size: int, rounds: int, nodes: int
) -> list[float]:
    """Seconds of each round."""
    out = folder / "rounds.json"
    out.unlink(missing_ok=True)
    given = f'size={size} rounds={rounds} nodes={nodes} out="{out}"'
    command = [python.parent / "flwr", "run", APP, "here", "--stream", "-c", given]
    subprocess.run(
        command, env=env, check=True, timeout=RUN, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return [float(took) for took in json.loads(out.read_text())]

"""What holds for all tests: names that are the same in every process, patience, and one cluster of Ray."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from patience import patient

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let the limit of a test scale as all its waits do, and Ctrl-C reach those that it starts.

    What a shell starts in the background ignores Ctrl-C, and so does all that is started from there.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.timeout is None:
        config.option.timeout = patient(float(config.getini("timeout")))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names that differ between processes; give all tests of the cluster to one process."""
    for item in items:
        if re.search(r"\b0x[0-9a-f]{6,}", item.nodeid):
            raise pytest.UsageError(f"a test's name holds an address of memory: {item.nodeid}")
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("ray"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """One local cluster for all tests of Ray, which therefore run in one process; it ends behind the last."""
    pytest.importorskip("ray", reason="Ray is not installed")
    from talkoot.engines.ray.cluster import CLUSTER

    with pytest.MonkeyPatch.context() as patch:
        for name in ("hand", "ranks"):
            patch.setattr(f"talkoot.engines.ray.{name}.START", patient(120))
        yield
    CLUSTER.leave()

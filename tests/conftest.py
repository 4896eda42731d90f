"""What holds for all tests: names that are the same in every process, patience, and one cluster of Ray."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from brokers import kafka_broker, new_topic, redis_server
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from patience import patient

__all__ = ["kafka_broker", "new_topic", "redis_server"]

GROUPS = {  # of tests that share what takes long to start
    "tests/engines/ray/": "ray",
    "::test_actors_do_not_change_answers": "ray",
    "tests/e2e/test_demo.py": "demo",
    "tests/e2e/test_credit.py": "credit",
    "tests/engines/ranks/test_exchange.py": "exchange",
    "tests/test_structure.py": "structure",  # which parses all files once
    "tests/stream/test_redis.py": "redis",
    "tests/stream/test_kafka.py": "kafka",
    "tests/stream/follow/test_brokers.py": "kafka",
    **dict.fromkeys(  # what compiles kernels, which takes minutes where it was not done yet
        (
            "tests/kernels/",
            "tests/learners/online/",
            "tests/stream/features/",
            "tests/stream/test_",
            "src/talkoot/kernels/",
            "src/talkoot/learners/online/",
            "tests/explain/",
            "src/talkoot/learners/explain/",
            "src/talkoot/api/explain/",
            "src/talkoot/explain.py",
            "src/talkoot/stream/",
        ),
        "kernels",
    ),
    "tests/learners/boosters/test_ranking.py::test_behind": "kernels",
    "tests/learners/trees/test_interrupted.py": "killed fits",
    "tests/faults/test_ranks.py": "trained ranks",
    "tests/test_recipes.py": "recipes",
    "tests/engines/ranks/test_folder.py": "checkpoints",
    "tests/engines/ranks/test_steps.py": "steps",
    **{
        f"tests/engines/federation/{name}.py": name  # each has programs of its own
        for name in (
            "test_agreed",
            "test_alone",
            "test_federation",
            "test_secure",
            "test_shared_rows",
            "test_strangers",
            "faults/test_canary",
        )
    },
}
# The same examples at every run, so that what is green here is green elsewhere; fewer for whoever
# edits (make check), and more, new at every run, where there is time (make test-all).
settings.register_profile(
    "same", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True, max_examples=25
)
settings.register_profile("few", settings.get_profile("same"), max_examples=10)
settings.register_profile("new", settings.get_profile("same"), derandomize=False, max_examples=100)
settings.load_profile("same")


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
    """Refuse names that differ between processes, and tests of the cluster that would start a second one."""
    for item in items:
        if re.search(r"\b0x[0-9a-f]{6,}", item.nodeid):
            raise pytest.UsageError(f"a test's name holds an address of memory: {item.nodeid}")
        if "cluster" in getattr(item, "fixturenames", ()) and group(item.nodeid) != "ray":
            raise pytest.UsageError(
                f"GROUPS in tests/conftest.py has to give this test to Ray's: {item.nodeid}"
            )
        if group(item.nodeid) == item.nodeid and "module" in scopes(item):
            raise pytest.UsageError(
                f"GROUPS in tests/conftest.py has to name what shares a fixture: {item.nodeid}"
            )


def scopes(item: pytest.Item) -> set[str]:
    """Of the fixtures that a test uses."""
    found = getattr(item, "_fixtureinfo", None)
    return {each.scope for all_ in found.name2fixturedefs.values() for each in all_} if found else set()


def group(nodeid: str) -> str:
    """What a test shares a process with: itself, or others of its group."""
    return next((name for part, name in GROUPS.items() if part in nodeid), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests of a group go to one process; xdist 3.8's own groups do nothing under pytest 9.2."""
    if config.getvalue("dist") != "loadgroup":
        return None
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = group
    return scheduler


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """One local cluster for all tests of Ray, which therefore run in one process; it ends behind the last."""
    pytest.importorskip("ray", reason="Ray is not installed")
    from talkoot.core.cores import cores
    from talkoot.engines.ray.cluster import CLUSTER

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")  # else other tests leave actors hardly any time to start
        for name in ("worker_handle", "ranks"):
            patch.setattr(f"talkoot.engines.ray.{name}.START", patient())
        patch.setattr("talkoot.engines.ray.cluster.cores", lambda: max(2, cores()))  # also on one core
        yield
    CLUSTER.leave()

"""What is stored: all or nothing, by one owner, with errors that name the file and the cure."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkoot.core.errors import DataError, LeaseLost
from talkoot.stream.follow.outputs.rejected import Rejected
from talkoot.stream.store import PAGE, Store, read


def test_values_come_back_and_can_be_changed(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "s.sqlite")
    value = {"a": np.arange(3.0), "seed": np.array([2**63], np.uint64), "none": None, "text": "å"}
    store.commit({"state": value, "empty": {}})
    found = store.get("state")
    found["a"] += 1
    again = store.get("state")
    assert (again["a"].tolist(), again["none"], again["text"]) == ([0, 1, 2], None, "å")
    assert again["seed"].dtype == np.uint64
    assert found["a"].tolist() == [1.0, 2.0, 3.0]
    assert read(store.path, "empty", "missing") == {"empty": {}}
    store.close()


def test_who_opens_it_owns_it(tmp_path: Path) -> None:
    first = Store(tmp_path / "s.sqlite")
    first.commit({"n": 1})
    second = Store(tmp_path / "s.sqlite")
    with pytest.raises(LeaseLost, match=r"taken over by another process \(lease 2, this one has 1\)"):
        first.commit({"n": 2})
    assert second.get("n") == 1
    second.commit({"n": 3})
    assert first.get("n") == 3
    first.close()
    second.close()


def test_what_is_no_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.sqlite").write_bytes(b"not a database, but long enough to look like one" * 50)
    with pytest.raises(DataError, match=r"s\.sqlite.*not a database"):
        Store(tmp_path / "s.sqlite")
    with pytest.raises(DataError, match="there is no store"):
        read(tmp_path / "other.sqlite", "n")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be made"):
        Store(tmp_path / "file" / "s.sqlite")


@given(
    sizes=st.lists(st.integers(0, 3 * PAGE // 8), min_size=2, max_size=2),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 1), st.booleans()), max_size=6),
)
def test_only_pages_that_changed_are_written_and_all_come_back(
    sizes: list[int], changes: list[tuple[int, int, bool]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "s.sqlite")
        arrays = [np.arange(size, dtype=np.float64) for size in sizes]
        for at, which, grow in changes:
            if grow:
                arrays[which] = np.append(arrays[which], at)
            elif len(arrays[which]):
                arrays[which][at % len(arrays[which])] = at
            store.commit({"value": {"arrays": arrays, "at": at}})
            found = read(store.path, "value")["value"]
            assert [array.tolist() for array in found["arrays"]] == [array.tolist() for array in arrays]
            assert found["at"] == at
        store.close()


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from talkoot.core.errors import DataError
from talkoot.stream.store import Store
store = Store(Path(sys.argv[1]))
store.commit({"n": 1})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
try:
    store.commit({"n": 2, "large": np.zeros(100_000)})
except DataError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert store.get("n") == 1
store.commit({"n": 3, "large": np.zeros(100_000)})
print(store.get("n"))
store.close()
"""


def test_a_full_disk_loses_nothing_and_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "s.sqlite")]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    assert "Make room on its disk and call again" in out[0]
    assert out[1] == "3"


def test_lines_that_are_written_again_stand_there_once(tmp_path: Path) -> None:
    path = tmp_path / "rejected.jsonl"
    first = Rejected(path, {})
    first.add([{"row": 1}])
    first.write(one := first.waiting())
    first.add([{"row": 2}])
    two = first.waiting()  # committed, and killed before it is written
    again = Rejected(path, two)
    again.write(two)
    again.add([{"row": 3}])
    again.write(again.waiting())
    first.write(two)  # whoever had it before wakes up
    first.write(one)
    assert path.read_text() == '{"row": 1}\n{"row": 2}\n{"row": 3}\n'

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from talkoot.data.contract.hashing import Sample, hash_rows

WORDS = st.lists(st.one_of(st.none(), st.text(max_size=4)), min_size=6, max_size=6)


@given(
    arrays(np.float64, 6, elements=st.floats(width=32)),
    WORDS,
    st.permutations(range(6)),
)
def test_a_hash_belongs_to_the_row_and_not_to_its_place(
    numbers: np.ndarray, words: list[str | None], order: list[int]
) -> None:
    text = np.array(words, dtype=object)
    plain = hash_rows({"a": numbers, "b": text}, 6, "salt")
    moved = hash_rows({"b": text[order], "a": numbers[order].astype(np.float32)}, 6, "salt")
    np.testing.assert_array_equal(plain[order], moved)


@given(arrays(np.float64, 50, elements=st.floats(-5, 5), unique=True))
def test_other_rows_and_other_salts_have_other_hashes(numbers: np.ndarray) -> None:
    values = np.unique(numbers + 0.0)
    hashed = hash_rows({"a": values}, len(values), "salt")
    assert len(np.unique(hashed)) == len(values)
    assert not np.isin(hash_rows({"a": values}, len(values), "pepper"), hashed).any()


def test_columns_do_not_stand_for_each_other() -> None:
    one, two = np.array([1.0]), np.array([2.0])
    assert hash_rows({"a": one, "b": two}, 1, "")[0] != hash_rows({"a": two, "b": one}, 1, "")[0]
    assert hash_rows({"a": np.array([None])}, 1, "")[0] != hash_rows({"a": np.array(["None"])}, 1, "")[0]


def test_zeros_and_missing_numbers_hash_alike_however_they_are_written() -> None:
    odd = np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)
    assert hash_rows({"a": np.array([-0.0])}, 1, "")[0] == hash_rows({"a": np.array([0])}, 1, "")[0]
    assert hash_rows({"a": odd}, 1, "")[0] == hash_rows({"a": np.array([np.nan])}, 1, "")[0]


@given(st.lists(st.lists(st.integers(0, 40), max_size=30), max_size=6), st.integers(1, 50))
def test_a_sample_is_the_least_hashes_with_their_counts(parts: list[list[int]], keep: int) -> None:
    sample = Sample(size=keep)
    for part in parts:
        sample.add(np.array(part, dtype=np.uint64))
    values, counts = np.unique(
        np.array([h for part in parts for h in part], dtype=np.uint64), return_counts=True
    )
    kept, repeats = sample.settle()
    np.testing.assert_array_equal(kept, values[:keep])
    np.testing.assert_array_equal(repeats, counts[:keep])

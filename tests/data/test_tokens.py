from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from talkoot.core.errors import DataError
from talkoot.data.samples.samples import samples
from talkoot.data.samples.tokens import encode, tokens
from talkoot.engines.processes.wire import copied, dump

TEXT = "Talkoot: työ, jonka teemme yhdessä. " * 40


@given(st.text(min_size=2, max_size=200), st.integers(1, 20))
def test_text_comes_back_from_its_tokens(text: str, window: int) -> None:
    if len(text) <= window:
        with pytest.raises(DataError, match="Take a smaller window"):
            tokens(text, window)
        return
    source = tokens(text, window)
    X, y = source.take(np.arange(source.rows))
    assert X.dtype == y.dtype == np.int64
    assert X.shape == y.shape == (source.rows, window)
    assert "".join(source.vocabulary[i] for i in X.ravel()) == text[: X.size]
    assert "".join(source.vocabulary[i] for i in y.ravel()) == text[1 : X.size + 1]
    assert len(text) - 1 - X.size < window
    assert source.vocabulary == "".join(sorted(set(text)))


@given(st.text(min_size=1), st.text("abcå", min_size=1).map(lambda s: "".join(dict.fromkeys(s))))
def test_characters_that_are_not_known_are_token_0(text: str, vocabulary: str) -> None:
    want = [max(vocabulary.find(character), 0) for character in text]
    assert encode(text, vocabulary).tolist() == want


def test_streams_are_contiguous_windows_for_every_kind_of_source(tmp_path: Path) -> None:
    stream = np.random.default_rng(0).integers(0, 50_000, 10_001).astype(np.uint16)
    np.save(tmp_path / "stream.npy", stream)
    mapped = tokens(tmp_path / "stream.npy", window=10)
    assert not mapped.ready
    assert dump(mapped).size < 2000
    for source in (tokens(stream, 10), tokens(torch.from_numpy(stream.astype(np.int32)), 10), copied(mapped)):
        X, y = source.take(np.array([999, 0]))
        assert source.rows == 1000
        assert np.array_equal(X[0], stream[-11:-1])
        assert np.array_equal(y[0], stream[-10:])
        assert y.flags.c_contiguous


def test_text_files_are_read_one_after_another(tmp_path: Path) -> None:
    half = len(TEXT) // 2
    (tmp_path / "a.txt").write_text(TEXT[:half], encoding="utf-8")
    (tmp_path / "b.txt").write_text(TEXT[half:], encoding="utf-8")
    both = tokens([tmp_path / "a.txt", str(tmp_path / "b.txt")], window=16)
    assert np.array_equal(np.asarray(both.stream), np.asarray(tokens(TEXT, window=16).stream))
    assert both.vocabulary == tokens(tmp_path / "a.txt", window=16).vocabulary


def test_a_vocabulary_given_is_kept() -> None:
    learned = tokens(TEXT, window=8)
    other = tokens("Talkoot? " * 4, window=8, vocabulary=learned.vocabulary)
    assert other.vocabulary == learned.vocabulary
    assert other.take(np.array([0]))[0][0, :7].tolist() == learned.take(np.array([0]))[0][0, :7].tolist()
    assert other.take(np.array([0]))[0][0, 7] == 0, "a question mark is not known"


def test_tokens_are_samples() -> None:
    assert samples({"a": tokens(TEXT, window=8)})["a"].whole == "a"
    with pytest.raises(DataError, match="samples already"):
        samples(tokens(TEXT, window=8), "t")


def test_what_are_no_tokens_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text(TEXT, encoding="utf-8")
    with pytest.raises(DataError, match=r"10 tokens, and window=128 takes 129.*pathlib\.Path"):
        tokens("corpus.txt")
    with pytest.raises(DataError, match="0 tokens"):
        tokens("")
    with pytest.raises(DataError, match="vocabulary is empty"):
        tokens(TEXT, vocabulary="")
    with pytest.raises(DataError, match="float64 of shape"):
        tokens(np.zeros(500))
    with pytest.raises(DataError, match=r"int64 of shape \(5, 5\)"):
        tokens(np.zeros((5, 5), int))
    with pytest.raises(DataError, match="is not there"):
        tokens(Path("nowhere.txt"))
    with pytest.raises(DataError, match="window=0"):
        tokens(TEXT, window=0)
    with pytest.raises(DataError, match="a character twice"):
        tokens(TEXT, vocabulary="aa")
    (tmp_path / "latin.txt").write_bytes(TEXT.encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.txt cannot be read"):
        tokens(Path("latin.txt"))

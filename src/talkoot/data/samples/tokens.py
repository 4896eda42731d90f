"""tk.tokens: windows of a stream of tokens, each with the same window one token later."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.data.samples.arrays import OnDisk, Stored, portable
from talkoot.data.samples.base import Samples, array
from talkoot.data.tables.reading import reading


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenSamples(Samples):
    """Consecutive windows of a stream of tokens."""

    stream: Stored  # the tokens, (tokens,) of whole numbers
    window: int  # tokens in a sample
    vocabulary: str = ""  # of text, its characters: token i is ``vocabulary[i]``

    @property
    def rows(self) -> int:
        """Number of windows; an incomplete one at the end of the stream is dropped."""
        return max(0, self.stream.shape[0] - 1) // self.window

    @property
    def ready(self) -> bool:
        """Whether the stream is in memory."""
        return not isinstance(self.stream, OnDisk)

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Windows (b, window) int64, and the same windows one token later."""
        spans = indices[:, np.newaxis] * self.window + np.arange(self.window + 1)
        taken = self.stream.take(spans, axis=0).astype(np.int64)
        return np.ascontiguousarray(taken[:, :-1]), np.ascontiguousarray(taken[:, 1:])


def tokens(source: Any, window: int = 128, *, vocabulary: str | None = None) -> TokenSamples:
    """Samples of text or of tokens, for models that predict the next one.

    X is (b, window) int64 and y, (b, window) int64, the tokens one later. Windows follow each other
    without overlap. The tokens of text are its characters: positions in the attribute `vocabulary`.

    Args:
        source: text; an array of whole numbers, (tokens,), which may be a memory map; or a path or list
            of paths of text files (UTF-8), read one after another, or of one ``.npy`` file of tokens,
            which is not read into memory. A path is a `pathlib.Path`, since a `str` is text; in a list
            either will do.
        window: tokens in a sample.
        vocabulary: the known characters, such as those of the training text; others become token 0. By
            default the sorted characters of the text.

    Raises:
        DataError: too few tokens for a window, tokens that are not whole numbers, or unreadable files.

    >>> data = tokens("abracadabra", window=4)
    >>> data.vocabulary, data.rows
    ('abcdr', 2)
    >>> X, y = data.take(np.array([1]))
    >>> X.tolist(), y.tolist()
    ([[2, 0, 3, 0]], [[0, 3, 0, 1]])
    """
    if window < 1:
        raise DataError(f"window={window} leaves no tokens", cure="Take one or more.")
    found = _read(source)
    if isinstance(found, str):
        vocabulary = "".join(sorted(set(found))) if vocabulary is None else vocabulary
        stream: Stored = encode(found, vocabulary)
    else:
        stream = _numbers(found)
    if stream.shape[0] <= window:
        named = isinstance(source, str) and len(source) < 1024 and os.path.exists(source)
        raise DataError(
            f"{stream.shape[0]} tokens, and window={window} takes {window + 1}",
            cure="Give pathlib.Path(...): a str is text." if named else "Take a smaller window.",
        )
    return TokenSamples(name="node0", stream=stream, window=window, vocabulary=vocabulary or "")


def encode(text: str, vocabulary: str) -> np.ndarray:
    """Characters as positions in the vocabulary, (characters,) uint8 or wider; unknown ones are 0.

    Raises:
        DataError: the vocabulary is empty, or has a character twice.

    >>> encode("cab?", "abc").tolist()
    [2, 0, 1, 0]
    """
    if (text and not vocabulary) or len(set(vocabulary)) < len(vocabulary):
        raise DataError("the vocabulary is empty, or has a character twice", cure="Give each one once.")
    known, order = np.unique(_codes(vocabulary), return_index=True)
    narrow = np.min_scalar_type(len(vocabulary))
    codes = _codes(text)
    place = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    return np.where(known[place] == codes, order[place], 0).astype(narrow)


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _read(source: Any) -> Any:
    """Text, or an array-like of tokens."""
    if isinstance(source, os.PathLike):
        source = [source]
    paths = isinstance(source, Sequence) and bool(source) and isinstance(source[0], str | os.PathLike)
    if isinstance(source, str) or not paths:
        return source
    if len(source) == 1 and Path(source[0]).suffix == ".npy":
        with reading(str(source[0])):
            return np.load(source[0], mmap_mode="r")
    return "".join(map(_text, source))


def _text(path: Any) -> str:
    with reading(str(path)):
        return Path(path).read_text(encoding="utf-8")


def _numbers(source: Any) -> Stored:
    stream = array(source)
    if stream.ndim != 1 or stream.dtype.kind not in "iu":
        raise DataError(
            f"the tokens are {stream.dtype} of shape {stream.shape}",
            cure="Give whole numbers, one after another: (tokens,).",
        )
    return portable(stream)

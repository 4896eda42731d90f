"""The bins of LightGBM's that all processes share: those that one process would make of all rows."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from talkoot.learners.lightgbm.library import call, text_of
from talkoot.learners.lightgbm.start import ZERO


def sampled(rows: int, params: Mapping[str, Any]) -> np.ndarray:
    """Which of so many rows LightGBM makes bins of, ascending."""
    from lightgbm.basic import _get_sample_count

    found = np.empty(_get_sample_count(rows, text_of(params).decode()), np.int32)
    size = ctypes.c_int32()
    call(
        "LGBM_SampleIndices",
        ctypes.c_int32(rows),
        text_of(params),
        ctypes.c_void_p(found.ctypes.data),
        ctypes.byref(size),
    )
    return found[: size.value]


def serialized(sample: np.ndarray, rows: int, params: Mapping[str, Any]) -> bytes:
    """The bins of all rows, as LightGBM saves them.

    Args:
        sample: (sampled, features) float64, the rows that they are made of.
        rows: how many there are in all.
        params: of LightGBM.
    """
    columns, places = list[np.ndarray](), list[np.ndarray]()
    for column in np.ascontiguousarray(sample.T):
        chosen = np.flatnonzero((np.abs(column) > ZERO) | np.isnan(column))
        columns.append(column[chosen])
        places.append(chosen.astype(np.int32))
    handle, counts = ctypes.c_void_p(), np.array([len(column) for column in columns], np.int32)
    call(
        "LGBM_DatasetCreateFromSampledColumn",
        _addresses(columns),
        _addresses(places),
        ctypes.c_int32(len(columns)),
        ctypes.c_void_p(counts.ctypes.data),
        ctypes.c_int32(len(sample)),
        ctypes.c_int32(rows),
        ctypes.c_int64(rows),
        text_of(params),
        ctypes.byref(handle),
    )
    try:
        return _saved(handle)
    finally:
        call("LGBM_DatasetFree", handle)


def _addresses(arrays: Sequence[np.ndarray]) -> Any:
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))


def _saved(handle: ctypes.c_void_p) -> bytes:
    buffer, size, octet = ctypes.c_void_p(), ctypes.c_int32(), ctypes.c_uint8()
    call("LGBM_DatasetSerializeReferenceToBinary", handle, ctypes.byref(buffer), ctypes.byref(size))
    found = bytearray(size.value)
    try:
        for i in range(size.value):
            call("LGBM_ByteBufferGetAt", buffer, ctypes.c_int32(i), ctypes.byref(octet))
            found[i] = octet.value
    finally:
        call("LGBM_ByteBufferFree", buffer)
    return bytes(found)


def data_set(saved: bytes, X: np.ndarray, params: Mapping[str, Any]) -> Any:
    """Rows in these bins, bundled as all rows would be, as a data set of LightGBM's."""
    from lightgbm import Dataset
    from lightgbm.basic import _C_API_DTYPE_FLOAT32, _C_API_DTYPE_FLOAT64

    X, handle = np.ascontiguousarray(X), ctypes.c_void_p()
    made = Dataset(X[:0], params=dict(params))
    call(
        "LGBM_DatasetCreateFromSerializedReference",
        saved,
        ctypes.c_int32(len(saved)),
        ctypes.c_int64(len(X)),
        ctypes.c_int32(0),
        text_of(params),
        ctypes.byref(handle),
    )
    made._handle = handle
    call(
        "LGBM_DatasetPushRows",
        handle,
        ctypes.c_void_p(X.ctypes.data),
        _C_API_DTYPE_FLOAT32 if X.dtype == np.float32 else _C_API_DTYPE_FLOAT64,
        ctypes.c_int32(X.shape[0]),
        ctypes.c_int32(X.shape[1]),
        ctypes.c_int32(0),
    )
    return made

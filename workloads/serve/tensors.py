"""Tensors of the Open Inference Protocol, in JSON and as raw bytes: from and to NumPy. Does no I/O.

A tensor of texts has the datatype BYTES: in memory it is an array of `bytes` objects; as raw bytes each element has its
length before it, in four bytes. All numbers are little-endian, in row-major order.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scheduler.errors import did_you_mean, shown
from workloads.serve.refused import RefusedError

BYTES = "BYTES"

TYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{
        f"{sign}INT{bits}": np.dtype(f"<{kind}{bits // 8}")
        for sign, kind in (("", "i"), ("U", "u"))
        for bits in (8, 16, 32, 64)
    },
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
}
"""The datatypes of numbers, as NumPy has them. BF16, which NumPy lacks, is refused."""

MOST_AXES = 32
"""Most axes of a tensor; NumPy takes 64, and no network has as many."""

MOST_VALUES = 2**31
"""Most values of a tensor: beyond this NumPy can't count, and no body is as large."""

_LENGTH = struct.Struct("<I")
_KINDS = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}
"""For each kind of datatype, the kinds of numbers in JSON that it takes: 3 is a float, and 3.5 is no integer."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tensor:
    """A tensor with its name.

    Attributes:
        name: its name.
        datatype: BYTES, or one of `TYPES`.
        values: its values; of BYTES, `bytes` objects.
    """

    name: str
    datatype: str
    values: NDArray[Any]


@lru_cache(maxsize=64)
def datatype_of(dtype: np.dtype[Any]) -> str:
    """Return the protocol's name of a NumPy type; BYTES for all that are no numbers."""
    return next((name for name, known in TYPES.items() if known == dtype.newbyteorder("<")), BYTES)


def check_datatype(where: str, datatype: object) -> str:
    """Return a datatype.

    Raises:
        RefusedError: if it is none that is served.
    """
    known = (*TYPES, BYTES)
    if datatype == "BF16":
        raise RefusedError(f"{where}.datatype 'BF16' is not served; send FP32")
    if not isinstance(datatype, str) or datatype not in known:
        hint = did_you_mean(datatype if isinstance(datatype, str) else "", known)
        raise RefusedError(f"{where}.datatype must be one of {', '.join(known)}, not {shown(datatype)}.{hint}")
    return datatype


def check_shape(where: str, shape: object) -> tuple[int, ...]:
    """Return a shape.

    Raises:
        RefusedError: if it is no list of whole numbers of at least 0, or there are too many.
    """
    if not isinstance(shape, list) or not all(type(axis) is int and axis >= 0 for axis in shape):
        raise RefusedError(f"{where}.shape must be a list of whole numbers of at least 0, not {shown(shape)}")
    if len(shape) > MOST_AXES or math.prod(max(1, axis) for axis in shape) > MOST_VALUES:
        raise RefusedError(
            f"{where}.shape may have {MOST_AXES} axes and {MOST_VALUES} values at the most, not {shown(shape)}"
        )
    return tuple(shape)


def size_of(datatype: str, shape: Sequence[int]) -> int:
    """Return the bytes that a tensor of numbers takes: 12 for FP32 of (1, 3)."""
    return math.prod(shape) * TYPES[datatype].itemsize


# ---------------------------------------------------------------- JSON


def from_json(where: str, datatype: str, shape: tuple[int, ...], data: object) -> NDArray[Any]:
    """Return the values of a tensor in JSON, which may be nested by axes or in one row.

    Args:
        where: the tensor as messages call it, such as `inputs[0]`.
        datatype: its datatype.
        shape: its shape.
        data: what JSON has for it.

    Raises:
        RefusedError: if the values are of another type, out of range, or of another number than the shape says.
    """
    if not isinstance(data, list):
        raise RefusedError(f"{where}.data must be a list, not {shown(data)}")
    values = _texts(where, data) if datatype == BYTES else _numbers(where, datatype, data)
    if values.shape not in (shape, (math.prod(shape),)):
        raise RefusedError(
            f"{where}.data has the shape {list(values.shape)}, and {where}.shape says {list(shape)}; give "
            f"{math.prod(shape)} values in one row, or nested so"
        )
    return values.reshape(shape)


def _numbers(where: str, datatype: str, data: list[Any]) -> NDArray[Any]:
    wanted = TYPES[datatype]
    try:
        given = np.array(data) if data else np.empty(0, wanted)
    except (ValueError, OverflowError):  # lists of unequal length, or numbers beyond all types
        raise RefusedError(f"{where}.data must be numbers in one row, or in lists of equal length") from None
    if given.size and given.dtype.kind not in _KINDS[wanted.kind]:
        what = "true and false" if wanted.kind == "b" else "whole numbers" if wanted.kind in "iu" else "numbers"
        raise RefusedError(f"{where}.data must be {what} for {datatype}; it has {_odd_one(data, wanted.kind)}")
    with np.errstate(over="ignore"):
        values = given.astype(wanted)
    if wanted.kind in "iu" and given.size and not (values == given).all():
        least, most = np.iinfo(wanted).min, np.iinfo(wanted).max
        raise RefusedError(
            f"{where}.data must be from {least} to {most} for {datatype}, not {given.min()} to {given.max()}"
        )
    if wanted.kind == "f" and given.size and not np.isfinite(values).all():
        raise RefusedError(f"{where}.data must be within {datatype}, whose largest number is {np.finfo(wanted).max:g}")
    return values


def _texts(where: str, data: list[Any]) -> NDArray[Any]:
    """Return texts as an array of `bytes`."""
    given = np.array(data, dtype=object)
    row = given.reshape(-1).tolist()
    for one in row:
        if not isinstance(one, str):
            raise RefusedError(
                f"{where}.data must be texts for BYTES, in one row or nested by axes; it has {shown(one)}"
            )
    values = np.empty(len(row), dtype=object)
    try:
        values[:] = [one.encode() for one in row]
    except UnicodeEncodeError:
        raise RefusedError(f"{where}.data must be texts in Unicode; one has half of a surrogate pair") from None
    return values.reshape(given.shape)


def _odd_one(data: list[Any], kind: str) -> str:
    """Return the first value that is not of a kind of number, for a message."""
    stack: list[Any] = [data]
    while stack:
        one = stack.pop()
        if isinstance(one, list):
            stack.extend(reversed(one))
        elif np.array(one).dtype.kind not in _KINDS[kind]:
            return shown(one)
    return "numbers of several kinds"


def to_json(values: NDArray[Any]) -> list[Any]:
    """Return the values of a tensor for JSON, in one row; NaN and infinities, which JSON lacks, are None.

    Raises:
        RefusedError: for texts that are not UTF-8, which only raw bytes can hold.
    """
    row = values.reshape(-1)
    if row.dtype == object:
        try:
            return [one.decode() for one in row]
        except UnicodeDecodeError:
            raise RefusedError(
                "an output has bytes that are no text; ask for it with parameters.binary_data = true"
            ) from None
    if row.dtype.kind == "f" and not np.isfinite(row).all():
        return [one if math.isfinite(one) else None for one in row.tolist()]
    listed: list[Any] = row.tolist()
    return listed


# ---------------------------------------------------------------- raw bytes


def from_raw(where: str, datatype: str, shape: tuple[int, ...], raw: memoryview) -> NDArray[Any]:
    """Return the values of a tensor in raw bytes; those of numbers share its memory.

    Raises:
        RefusedError: if there are more or fewer bytes than the shape says.
    """
    if datatype == BYTES:
        return _raw_texts(where, shape, raw)
    wanted = size_of(datatype, shape)
    if len(raw) != wanted:
        raise RefusedError(
            f"{where}: {datatype} of shape {list(shape)} takes {wanted} bytes, and its binary_data_size is {len(raw)}"
        )
    values: NDArray[Any] = (
        np.frombuffer(raw, dtype=TYPES[datatype]).reshape(shape) if raw else np.empty(shape, TYPES[datatype])
    )
    if datatype == "BOOL" and (values.view(np.uint8) > 1).any():
        raise RefusedError(f"{where}: BOOL takes bytes of 0 and 1")
    return values


def _raw_texts(where: str, shape: tuple[int, ...], raw: memoryview) -> NDArray[Any]:
    count, place = math.prod(shape), 0
    texts: list[bytes] = []
    if count > len(raw) // _LENGTH.size:
        raise RefusedError(f"{where}: {count} texts take at least {count * _LENGTH.size} bytes, not {len(raw)}")
    for _ in range(count):
        if place + _LENGTH.size > len(raw):
            raise RefusedError(f"{where}: its bytes end before text {len(texts)} of {count}")
        (length,) = _LENGTH.unpack_from(raw, place)
        place += _LENGTH.size
        if place + length > len(raw):
            raise RefusedError(f"{where}: text {len(texts)} is to have {length} bytes, and {len(raw) - place} are left")
        texts.append(bytes(raw[place : place + length]))
        place += length
    if place != len(raw):
        raise RefusedError(f"{where}: {len(raw) - place} bytes are left behind its {count} texts")
    values = np.empty(count, dtype=object)
    values[:] = texts
    return values.reshape(shape)


def to_raw(values: NDArray[Any]) -> bytes:
    """Return the values of a tensor as raw bytes."""
    if values.dtype == object:
        return b"".join(_LENGTH.pack(len(one)) + one for one in values.reshape(-1))
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()

"""Messages, effects and specs as bytes: msgpack with a schema version, checked when they are read.

- A dataclass becomes a map of its fields and of `type`, its name. A NumPy array becomes a map of `dtype`, `shape` and
  `data`.
- Reading is strict: bytes must fit the expected dataclass field by field, so a reader never holds half a message.
  `decode` makes only classes that the caller expects, so bytes can't make a process build or run anything else.
- It does not know what the messages mean.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgpack
import numpy as np

from scheduler.errors import shown
from scheduler.messages import Effect, Message

SCHEMA = 5
"""Version of all messages; raised whenever a dataclass that travels changes its fields."""

_T = TypeVar("_T")


class WireError(ValueError):
    """Bytes are no message of this schema, or a value can't travel."""


def encode(value: object) -> bytes:
    """Return a message, an effect or a spec as bytes.

    Raises:
        WireError: if it holds something that can't travel, such as a function.
    """
    try:
        data: bytes = msgpack.packb({"schema": SCHEMA, "value": _pack(value, type(value).__name__)})
    except OverflowError as error:
        raise WireError(f"a {type(value).__name__} can't travel: {error}") from None
    return data


def decode(data: bytes, expected: type[_T]) -> _T:
    """Return the value in these bytes.

    Args:
        data: the bytes.
        expected: dataclass of the value.

    Raises:
        WireError: if they are not msgpack, are of another schema, or do not fit the dataclass.
    """
    return cast(_T, _decode(data, expected))


def decode_message(data: bytes) -> Message:
    """Return the message to the manager in these bytes, of whichever class.

    Raises:
        WireError: if they are no such message.
    """
    return cast(Message, _decode(data, Message))


def decode_effect(data: bytes) -> Effect:
    """Return the effect of the manager in these bytes, of whichever class.

    Raises:
        WireError: if they are no such effect.
    """
    return cast(Effect, _decode(data, Effect))


def _decode(data: bytes, hint: Any) -> Any:
    try:
        envelope = msgpack.unpackb(data)
    except Exception as error:  # msgpack raises a dozen classes, ValueError and its own
        raise WireError(f"not a gearshift message: {type(error).__name__}: {error}") from None
    if not isinstance(envelope, dict) or envelope.keys() != {"schema", "value"}:
        raise WireError("not a gearshift message: it has no schema and value")
    if envelope["schema"] != SCHEMA:
        raise WireError(
            f"a message of schema {shown(envelope['schema'])}, but this is schema {SCHEMA}; run one version everywhere"
        )
    return _unpack(envelope["value"], hint, "message")


def _pack(value: object, where: str) -> object:
    """Return plain data for a value; `where` names its place in the message, for errors."""
    match value:
        case None | bool() | int() | float() | str() | bytes():
            return value
        case np.generic():
            return value.item()
        case np.ndarray():
            return {"dtype": value.dtype.str, "shape": list(value.shape), "data": value.tobytes()}
        case tuple() | list():
            return [_pack(item, f"{where}[{place}]") for place, item in enumerate(value)]
        case Mapping():
            return {_key(key, where): _pack(item, f"{where}[{key!r}]") for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        packed = {field.name: _pack(getattr(value, field.name), f"{where}.{field.name}") for field in fields(value)}
        return {"type": type(value).__name__, **packed}
    raise WireError(f"{where}: {value!r} can't travel; send plain data")


def _key(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise WireError(f"{where}: key {key!r} can't travel; use text")
    return key


def _unpack(value: Any, hint: Any, where: str) -> Any:
    """Return the value that the type `hint` expects; `where` names its place in the message, for errors."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (types.UnionType, Union):
        return _unpack_union(value, args, where)
    if hint in (Any, object):
        return value
    if hint is float:
        return float(_checked(value, (float, int), where))
    if hint in (int, str, bool, types.NoneType):
        return _checked(value, (hint,), where)
    if origin is tuple:
        items = _checked(value, (list,), where)
        kinds = args[:1] * len(items) if args[-1] is Ellipsis else args
        if len(kinds) != len(items):
            raise WireError(f"{where} must have {len(kinds)} items, not {len(items)}")
        return tuple(
            _unpack(item, kind, f"{where}[{place}]")
            for place, (item, kind) in enumerate(zip(items, kinds, strict=True))
        )
    if origin is Mapping:
        pairs = _checked(value, (dict,), where)
        return {
            _checked(key, (str,), where): _unpack(item, args[1], f"{where}[{key!r}]") for key, item in pairs.items()
        }
    if origin is np.ndarray:
        return _unpack_array(value, np.dtype(get_args(args[1])[0]), where)
    if is_dataclass(hint):
        return _unpack_dataclass(value, hint, where)
    raise TypeError(f"{where}: {hint} is not a type that the wire knows")


def _unpack_union(value: Any, members: tuple[Any, ...], where: str) -> Any:
    # A dataclass among the members says which one it is. The other members are told apart by trying them in turn.
    classes = {getattr(member, "__name__", ""): member for member in members if is_dataclass(member)}
    name = value.get("type") if isinstance(value, dict) else None
    if isinstance(name, str) and name in classes:
        return _unpack_dataclass(value, classes[name], where)
    for member in members:
        if not is_dataclass(member):
            try:
                return _unpack(value, member, where)
            except WireError:
                continue
    found = value if name is None else name
    raise WireError(f"{where}: {shown(found)} is none of {', '.join(getattr(m, '__name__', str(m)) for m in members)}")


def _unpack_dataclass(value: Any, cls: Any, where: str) -> Any:
    packed = dict(_checked(value, (dict,), where))
    name = packed.pop("type", None)
    if name != cls.__name__:
        raise WireError(f"{where} must be a {cls.__name__}, not {shown(name)}")
    hints = _hints(cls)
    if packed.keys() != hints.keys():
        odd = ", ".join(sorted(map(str, packed.keys() ^ hints.keys())))
        raise WireError(f"{where}: the fields of {cls.__name__} do not match, see {odd:.200}")
    return cls(**{key: _unpack(packed[key], hint, f"{where}.{key}") for key, hint in hints.items()})


def _unpack_array(value: Any, dtype: np.dtype[Any], where: str) -> Any:
    packed = _checked(value, (dict,), where)
    if packed.keys() != {"dtype", "shape", "data"} or packed["dtype"] != dtype.str:
        raise WireError(f"{where} must be an array of {dtype.str} with dtype, shape and data, not {packed.keys()}")
    try:
        # A copy, since a view of the bytes themselves would be read-only.
        return np.frombuffer(packed["data"], dtype=dtype).reshape(packed["shape"]).copy()
    except (TypeError, ValueError) as error:
        raise WireError(f"{where} is no array: {error}") from None


def _checked(value: Any, kinds: tuple[type, ...], where: str) -> Any:
    # A bool is an int to Python, but never one to a message.
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise WireError(f"{where} must be {wanted}, not {shown(value)}")
    return value


@cache
def _hints(cls: Any) -> dict[str, Any]:
    """Return the type of each field; cached, since it is slow to evaluate annotations that are text."""
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in fields(cls)}

"""The target that reads users' own models, in the process apart in which the command tries them too."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import helper

from fuzz.campaign import Target
from fuzz.files import corpus
from fuzz.mutation import damaged
from helpers.own_models import brightest, scaled, value, write, zip_map
from scheduler.errors import InputError
from supernets.engines import Trials
from workloads.ladder.own_models import family_ladder
from workloads.mix.app import Family

_TRIAL_S = 20.0
"""Bound on the time of one model in one engine."""
_NUMBERS = (0, 1, -1, 2, 3, 6, 7, 8, 10, 11, 13, 16, 255, 2**31 - 1, -(2**31), 2**31, 2**63 - 1, -(2**63))
_OPERATORS = (
    *("Relu", "Conv", "MatMul", "Gemm", "Reshape", "Gather", "Pad", "Resize", "Concat", "Slice", "Loop", "If", "Cast"),
    *("Transpose", "MaxPool", "GlobalAveragePool", "Expand", "Tile", "TopK", "Squeeze", "Range", "ConstantOfShape"),
)


@cache
def _models() -> list[bytes]:
    """Return small models: a network of convolutions, those of the tests of own models, and those of the corpus."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        paths = [brightest(folder / "a.onnx"), scaled(folder / "b.onnx"), zip_map(folder / "c.onnx")]
        return [path.read_bytes() for path in (*paths, _network(folder / "d.onnx"))] + corpus("onnx")


def _network(path: Path) -> Path:
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["m"], kernel_shape=[2, 2]),
        helper.make_node("Reshape", ["m", "shape"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["s"], transB=1),
        helper.make_node("Softmax", ["s"], ["y"], axis=1),
    ]
    ones = {"k": np.ones((4, 3, 3, 3), np.float32), "w": np.ones((5, 16), np.float32), "b": np.ones(5, np.float32)}
    return write(path, nodes, [value("x", (1, 3, 8, 8))], [value("y", (1, 5))], {**ones, "shape": np.array([1, -1])})


def _model(rng: Random) -> bytes:
    if rng.random() < 0.2:
        return damaged(rng, _models())
    model = onnx.load_model_from_string(rng.choice(_models()))
    texts = [*_OPERATORS, *_texts(model)]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _change(rng, *rng.choice(list(_fields(model))), texts)
    return bytes(model.SerializeToString())


def _fields(message: Message) -> Iterator[tuple[Message, FieldDescriptor]]:
    """Yield each field that is set in a message and in the messages that it holds."""
    for field, held in message.ListFields():
        yield message, field
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for part in [held] if isinstance(held, Message) else held:
                yield from _fields(part)


def _texts(message: Message) -> Iterator[str]:
    for holder, field in _fields(message):
        if field.type == FieldDescriptor.TYPE_STRING:
            held = getattr(holder, field.name)
            # protobuf gives bytes for what is no text
            yield from (text for text in ([held] if isinstance(held, str | bytes) else held) if isinstance(text, str))


def _change(rng: Random, message: Message, field: FieldDescriptor, texts: list[str]) -> None:
    """Clear a field, repeat or remove one of its values, or give it another one."""
    held = getattr(message, field.name)
    if isinstance(held, str | bytes | int | float | Message):
        if isinstance(held, Message) or rng.random() < 0.2:
            message.ClearField(field.name)
        else:
            setattr(message, field.name, _other(rng, field, held, texts))
        return
    at = rng.randrange(len(held))
    match rng.randrange(4):
        case 0:
            del held[at]
        case 1:
            held.extend([held[at]])
        case _ if field.type == FieldDescriptor.TYPE_MESSAGE:
            held[at].CopyFrom(held[rng.randrange(len(held))])
        case _:
            held[at] = _other(rng, field, held[at], texts)


def _other(rng: Random, field: FieldDescriptor, held: Any, texts: list[str]) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return rng.choice(texts)
    match held:
        case bytes():
            return damaged(rng, [held])
        case float():
            return rng.choice((0.0, -1.0, 1e38, float("nan"), float("inf")))
    if field.enum_type is not None:
        return rng.choice(field.enum_type.values).number
    bits = 63 if field.type in (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64) else 31
    number = rng.choice(_NUMBERS) if rng.random() < 0.6 else held + rng.choice((-1, 1))
    return max(min(number, 2**bits - 1), -(2**bits))


@cache
def _trials() -> Trials:
    """Return the process that reads all models; it is started again where one makes an engine crash."""
    trials = Trials(limit_s=_TRIAL_S)
    atexit.register(trials.__exit__, None, None, None)
    return trials


def _open(given: bytes, directory: Path) -> None:
    path = directory / "model.onnx"
    path.write_bytes(given)
    family_ladder(Family([(path, 0.5)]), _trials())


def targets() -> list[Target]:
    """Return the target that reads models."""
    return [Target(name="onnx-models", make=_model, parse=_open, clean=(InputError,))]

"""Messages, effects and specs survive the wire; anything else is refused with one clear line."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import get_args, get_origin, get_type_hints

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import wire
from actors.wire import SCHEMA, WireError
from actors.worker.spec import WorkerSpec
from helpers.tiny_networks import board, profile
from helpers.wire_values import PREPARE, SPEC
from scheduler.board import Board
from scheduler.messages import (
    Activate,
    AppJoined,
    AppLeft,
    Effect,
    Event,
    Log,
    Message,
    PowerCapped,
    SetClock,
    Tick,
)
from scheduler.profile import Profile
from scheduler.views import Gear

finite = st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | finite | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def values_of(hint):
    """Any value of a field's type, read off the type itself, so that new messages are covered when they come."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is types.UnionType:
        return st.one_of([values_of(member) for member in args])
    if origin is tuple:
        if args[-1] is Ellipsis:
            return st.lists(values_of(args[0]), max_size=3).map(tuple)
        return st.tuples(*map(values_of, args))
    if origin is Mapping:
        return st.dictionaries(st.text(max_size=5), values_of(args[1]), max_size=3)
    simple = {
        int: st.integers(-(2**63), 2**64 - 1),
        float: finite,
        str: st.text(max_size=8),
        bool: st.booleans(),
        type(None): st.none(),
        object: plain,
    }
    if hint in simple:
        return simple[hint]
    return st.builds(hint, **{name: values_of(kind) for name, kind in get_type_hints(hint).items()})


@given(values_of(Message))
def test_every_message_comes_back_equal(message):
    assert wire.decode_message(wire.encode(message)) == message


@given(values_of(Effect))
def test_every_effect_comes_back_equal(effect):
    assert wire.decode_effect(wire.encode(effect)) == effect


@pytest.mark.parametrize("value", [board(), profile()], ids=["board", "profile"])
def test_boards_and_profiles_come_back_equal(value: Board | Profile):
    assert wire.decode(wire.encode(value), type(value)) == value


def test_a_spec_comes_back_field_by_field():
    back = wire.decode(wire.encode(SPEC), WorkerSpec)
    np.testing.assert_array_equal(back.arrivals_s, SPEC.arrivals_s)
    assert back.arrivals_s.dtype == np.float64
    assert back.arrivals_s.flags.writeable
    assert list(back.artifacts) == ["small", "large"]
    for name in WorkerSpec.__slots__:
        if name != "arrivals_s":
            assert getattr(back, name) == getattr(SPEC, name), name


def test_messages_of_one_shape_keep_their_class():
    for change in (AppJoined(app="a"), AppLeft(app="a")):
        event = Event(change=change, text="")
        assert type(wire.decode_message(wire.encode(event)).change) is type(change)


def test_whole_numbers_become_the_floats_they_stand_for():
    back = wire.decode_effect(wire.encode(SetClock(unit="big", clock=1400, plan=1)))
    assert isinstance(back.clock, float)
    assert back.clock == 1400.0
    assert wire.decode_effect(wire.encode(SetClock(unit="big", clock="schedutil", plan=1))).clock == "schedutil"


def test_numpy_scalars_travel_as_plain_numbers():
    back = wire.decode_effect(wire.encode(Log(kind="epoch", fields={"n": np.int64(3), "cores": (1, 2)})))
    assert back.fields == {"n": 3, "cores": [1, 2]}


def changed(**changes) -> bytes:
    """`PREPARE` with other fields; a field that is None goes."""
    envelope = msgpack.unpackb(wire.encode(PREPARE))
    value = {**envelope["value"], **changes}
    return msgpack.packb({**envelope, "value": {key: item for key, item in value.items() if item is not None}})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a gearshift message"),
        (b"\xc1garbage", "not a gearshift message"),
        (wire.encode(PREPARE)[:-3], "not a gearshift message"),
        (wire.encode(PREPARE) + b"\x00", "not a gearshift message"),
        (msgpack.packb([1, 2]), "no schema and value"),
        (msgpack.packb({"schema": 1, "value": {}}), "schema 1, but this is schema 5; run one version everywhere"),
        (msgpack.packb({"schema": SCHEMA, "value": None}), "None is none of Prepare"),
        (changed(type="Explode"), "'Explode' is none of Prepare"),
        (changed(plan=None), "the fields of Prepare do not match, see plan"),
        (changed(colour="red"), "the fields of Prepare do not match, see colour"),
        (changed(plan="4"), "message.plan must be int, not '4'"),
        (changed(plan=True), "message.plan must be int, not True"),
        (changed(gear={"type": "Prepare"}), "message.gear must be a Gear, not 'Prepare'"),
        (changed(gear=[1]), r"message.gear must be dict, not \[1\]"),
    ],
)
def test_what_is_no_effect_is_refused(data, reason):
    with pytest.raises(WireError, match=reason):
        wire.decode_effect(data)


def test_a_message_is_no_effect():
    with pytest.raises(WireError, match="'Tick' is none of Prepare"):
        wire.decode_effect(wire.encode(Tick(epoch=1)))
    with pytest.raises(WireError, match="must be a Gear, not 'Tick'"):
        wire.decode(wire.encode(Tick(epoch=1)), Gear)


def test_items_are_named_by_their_place():
    data = wire.encode(Activate(app="a", gear=PREPARE.gear, cpus=(0, "one"), plan=1))
    with pytest.raises(WireError, match=r"message.cpus\[1\] must be int, not 'one'"):
        wire.decode_effect(data)
    union = wire.encode(Event(change=PowerCapped(power_cap_w="lots"), text=""))
    with pytest.raises(WireError, match=r"message.change.power_cap_w: 'lots' is none of float, NoneType"):
        wire.decode_message(union)


@pytest.mark.parametrize("spoil", [{"dtype": "<i8"}, {"data": b"123"}, {"shape": [7]}, {"shape": "x"}])
def test_a_spoilt_array_is_refused(tmp_path, spoil):
    array = {"dtype": "<f8", "shape": [1], "data": np.ones(1).tobytes(), **spoil}
    with pytest.raises(WireError, match="arrivals_s"):
        wire._unpack(array, get_type_hints(WorkerSpec)["arrivals_s"], "arrivals_s")


@pytest.mark.parametrize("value", [{1, 2}, lambda: None, {1: 2}, 2**70], ids=["set", "function", "key", "huge"])
def test_what_cannot_travel_is_refused(value):
    with pytest.raises(WireError, match="can't travel"):
        wire.encode(Log(kind="x", fields={"value": value}))


@given(st.binary(max_size=60))
def test_random_bytes_raise_nothing_else(data):
    with pytest.raises(WireError):
        wire.decode_message(data)

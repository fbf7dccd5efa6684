"""The targets that read values and messages: mixes from Python, arrival traces, and what travels between processes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import msgpack
import numpy as np

from actors import wire
from actors.policies import load_policy
from actors.wire import WireError
from actors.worker.spec import WorkerSpec
from fuzz.campaign import Target
from fuzz.files import corpus
from fuzz.mutation import PLAIN, Wordless, changed, damaged
from helpers.tiny_networks import board
from helpers.wire_values import MESSAGES, SPEC
from scheduler.errors import InputError
from workloads.mix.app import App, Family
from workloads.mix.arrivals import External, Periodic, Poisson, Saturate, Trace
from workloads.mix.events import at
from workloads.mix.mix import Mix


def _message(rng: Random) -> bytes:
    whole = wire.encode(rng.choice(MESSAGES))
    if rng.random() < 0.3:
        return damaged(rng, [whole])
    try:
        return msgpack.packb(changed(rng, msgpack.unpackb(whole)))
    except (OverflowError, ValueError, TypeError):
        return b""


def _decode(given: bytes, directory: Path) -> None:
    with suppress(WireError):
        wire.decode_message(given)
    wire.decode_effect(given)


def _spec(rng: Random) -> bytes:
    packed = wire.encode(SPEC)
    try:
        return msgpack.packb(changed(rng, msgpack.unpackb(packed)))
    except (OverflowError, ValueError, TypeError):
        return damaged(rng, [packed])


_ODD: tuple[Any, ...] = (
    *PLAIN,
    *(np.array(1.0), np.array([[1.0]]), np.float32("nan"), np.int8(-3), np.bool_(True), np.array(["a"]), b"x", 1j),
    *(object(), Wordless(), int, print, range(3), {1, 2}, (), "a\ud800", "../../x", 10**400, -(10**400), Path("x")),
)


def _or_odd(rng: Random, value: Any, share: float = 0.25) -> Any:
    return rng.choice(_ODD) if rng.random() < share else value


def _mix_recipe(rng: Random) -> int:
    return rng.randrange(2**62)


def _make_mix(given: int, directory: Path) -> None:
    """Make a mix of which about every fourth value is not what it should be."""
    rng = Random(given)

    def odd(value: Any, share: float = 0.1) -> Any:
        return _or_odd(rng, value, share)

    arrivals = rng.choice(
        (
            lambda: Periodic(hz=odd(5.0), jitter_ms=odd(1.0)),
            lambda: Poisson(hz=odd(5)),
            lambda: Trace(odd([odd(0.5), odd(1.0)]), unit=odd("s"), origin=odd(0), column=odd(None)),
            External,
            Saturate,
        )
    )
    fields = {"min_accuracy": 0.5, "weight": 2, "slo": 0.9, "queue": 3, "drop": "late", "source": None}
    chosen = {key: odd(value) for key, value in fields.items() if rng.random() < 0.5}
    supernet = odd("ofa-plates") if rng.random() < 0.8 else Family(odd([odd(("a.onnx", odd(0.5)))]))
    one = App(odd("a"), odd(supernet), odd(arrivals()), odd(50), **chosen)
    changes = {"latency_ms": 30, "min_accuracy": 0.4, "max_mhz": 800, "cores": 0, "busy": 0.5, "ambient_c": 30}
    some = {key: odd(value) for key, value in changes.items() if rng.random() < 0.3}
    subjects = {"unit": "big", "add": one, "remove": "a"}
    about = {key: odd(value) for key, value in subjects.items() if rng.random() < 0.3}
    events = [at(odd(1.0), *([odd("a")] if rng.random() < 0.5 else []), **about, **some)] if rng.random() < 0.6 else []
    mix = Mix(
        odd("m"),
        apps=odd([odd(one)]),
        events=odd(events),
        duration_s=odd(10),
        objective=odd("energy"),
        power_cap_w=odd(None),
        boards=odd(["odroid-xu3"]),
    )
    mix.check_board(board().units)
    mix.notices()
    # A duration of centuries is no error, and its requests are made when it runs.
    if mix.duration_s <= 100 and all(len(times_s) < 10**5 for times_s in mix.arrivals_s(3).values()):
        [presence.app.queue_bound(presence.length_s) for presence in mix.all_apps()]


def _trace(rng: Random) -> tuple[bytes, dict[str, Any]]:
    options = {"unit": "ms", "origin": "first", "column": rng.choice(("at", "Timestamp", 1, 2))}
    given = {key: _or_odd(rng, value, 0.1) for key, value in options.items() if rng.random() < 0.5}
    return damaged(rng, corpus("arrivals")), given


def _read_trace(given: tuple[bytes, dict[str, Any]], directory: Path) -> None:
    path = directory / "trace.csv"
    path.write_bytes(given[0])
    trace = Trace(path, **given[1])
    trace.rate_hz(10.0)
    trace.times_s(10.0, np.random.default_rng(0))
    trace.unused(10.0)


def _policy_name(rng: Random) -> Any:
    names = ("joint", "floor+schedutil", "joint+", "+schedutil", "steady", "mine.py:Mine", "lavd")
    if rng.random() < 0.5:
        return _or_odd(rng, rng.choice(names), 0.5)
    return damaged(rng, [name.encode() for name in names]).decode("utf-8", "surrogateescape")


def _load_policy(given: Any, directory: Path) -> None:
    load_policy(given)


def targets() -> Sequence[Target]:
    """Return the targets that read values and messages."""
    return (
        Target(name="wire", make=_message, parse=_decode, clean=(WireError,)),
        Target(
            name="worker-specs",
            make=_spec,
            parse=lambda given, _: wire.decode(given, WorkerSpec),
            clean=(WireError,),
        ),
        Target(name="mixes", make=_mix_recipe, parse=_make_mix, clean=(InputError,)),
        Target(name="arrivals", make=_trace, parse=_read_trace, clean=(InputError,)),
        Target(name="policy-names", make=_policy_name, parse=_load_policy, clean=(InputError,)),
    )

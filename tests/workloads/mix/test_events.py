"""Each form of `at` is an event of its own, and a wrong one is refused with field, value and fix."""

import math
from typing import Any

import pytest

from helpers.small_mixes import app
from workloads.mix.errors import MixError
from workloads.mix.events import AppAddition, AppChange, AppRemoval, BoardChange, UnitChange, at


def test_each_form_of_at_is_an_event_of_its_own() -> None:
    assert at(1, "a", latency_ms=30, slo=0.9) == AppChange(at_s=1, app="a", changes={"latency_ms": 30, "slo": 0.9})
    assert at(1, unit="big", cores=2, busy=0.4) == UnitChange(at_s=1, unit="big", changes={"cores": 2, "busy": 0.4})
    assert at(1, unit="big", slowdown=1.5) == UnitChange(at_s=1, unit="big", changes={"slowdown": 1.5})
    assert at(1, ambient_c=-5) == BoardChange(at_s=1, changes={"ambient_c": -5})
    assert at(1, add=app("b")) == AppAddition(at_s=1, app=app("b"))
    assert at(1, remove="b") == AppRemoval(at_s=1, app="b")


def test_none_lifts_a_limit_and_is_not_the_same_as_not_given() -> None:
    assert at(1, unit="big", max_mhz=None, cores=None) == UnitChange(
        at_s=1, unit="big", changes={"max_mhz": None, "cores": None}
    )
    assert at(1, unit="big", slowdown=None) == UnitChange(at_s=1, unit="big", changes={"slowdown": None})
    assert at(1, power_cap_w=None) == BoardChange(at_s=1, changes={"power_cap_w": None})


# Each is a call that must fail, since a TypedDict lets no wrong keyword through the type checker.
@pytest.mark.parametrize(
    ("args", "given_", "message"),
    [
        ((-1, "a"), {"latency_ms": 3}, r"at\(\): the time must be at least 0, not -1"),
        ((math.nan, "a"), {"latency_ms": 3}, r"the time must be a finite number, not nan"),
        (("10", "a"), {"latency_ms": 3}, r"the time must be a number, not '10'\. Did you mean 10\?"),
        ((10, "a"), {"latncy_ms": 3}, r"at\(10\): unknown keyword 'latncy_ms'\. Did you mean 'latency_ms'\?"),
        ((10,), {"units": "big", "max_mhz": 3}, r"unknown keyword 'units'\. Did you mean 'unit'\?"),
        ((10, "a"), {}, r"nothing changes; give one of latency_ms, min_accuracy, weight, slo"),
        ((10,), {"unit": "big"}, r"nothing changes; give one of max_mhz, cores, busy, slowdown"),
        ((10,), {}, r"nothing changes"),
        ((10,), {"latency_ms": 3}, r"latency_ms does not belong here; write at\(t, APP, latency_ms=\.\.\.\)"),
        ((10, "a"), {"max_mhz": 3}, r"max_mhz does not belong here; write at\(t, unit=UNIT, max_mhz="),
        ((10,), {"unit": "big", "ambient_c": 3}, r"ambient_c does not belong here; write at\(t, ambient_c="),
        ((10,), {"remove": "a", "slo": 1}, r"slo does not belong here"),
        ((10,), {"add": app(), "slo": 1}, r"slo does not belong here"),
        ((10, "a"), {"unit": "big", "slo": 1}, r"app and unit cannot be in one event"),
        ((10,), {"add": "yard"}, r"add must be an App\(\.\.\.\), not 'yard'"),
        ((10,), {"remove": app()}, r"remove must be a name, not App\("),
        ((10, app()), {"slo": 1}, r"app must be a name, not App\("),
        ((10, "a"), {"latency_ms": None}, r"latency_ms must be a number, not None"),
        ((10, "a"), {"min_accuracy": 80}, r"Did you mean 0\.80\?"),
        ((10,), {"unit": "big", "busy": 40}, r"busy must be between 0 and 1, not 40\. Did you mean 0\.40\?"),
        ((10,), {"unit": "big", "busy": None}, r"busy must be a number, not None"),
        ((10,), {"unit": "big", "slowdown": 0.5}, r"at\(10\): slowdown must be between 1 and 1000, not 0\.5"),
        ((10,), {"unit": "big", "slowdown": 1e6}, r"slowdown must be between 1 and 1000, not 1000000"),
        ((10,), {"unit": "big", "slowdown": math.inf}, r"slowdown must be a finite number, not inf"),
        ((10,), {"unit": "big", "slowdown": "1.5"}, r"slowdown must be a number, not '1\.5'\. Did you mean 1\.5\?"),
        ((10, "a"), {"slowdown": 2}, r"slowdown does not belong here; write at\(t, unit=UNIT, slowdown=\.\.\.\)"),
        ((10,), {"slowdown": 2}, r"slowdown does not belong here; write at\(t, unit=UNIT, slowdown=\.\.\.\)"),
        ((10,), {"unit": "big", "cores": -1}, r"cores must be at least 0, not -1"),
        ((10,), {"unit": "big", "cores": 1.5}, r"cores must be a whole number, not 1\.5"),
        ((10,), {"unit": "big", "max_mhz": 0}, r"max_mhz must be above 0, not 0"),
        ((10,), {"unit": 3, "max_mhz": 1}, r"unit must be a name, not 3"),
        ((10,), {"ambient_c": -274}, r"ambient_c must be above -273\.15, not -274"),
        ((10,), {"power_cap_w": 0}, r"power_cap_w must be above 0, not 0"),
    ],
)
def test_a_bad_event_is_refused(args: tuple[Any, ...], given_: dict[str, Any], message: str) -> None:
    with pytest.raises(MixError, match=message):
        at(*args, **given_)

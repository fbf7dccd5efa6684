"""The events that change a mix or its board during a run, and `at`, which makes and checks them.

An event is checked by itself. `Mix` checks that it fits the mix, for example that the app is there at that time;
`Mix.check_board` checks that the board has the unit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypedDict, Unpack

from scheduler.errors import shown
from workloads.mix.app import TARGET_CHECKS, App, Checks
from workloads.mix.errors import MixError, number, suggestion, text, whole

# The values that may change of a unit and of the board, each with its check. Those of an app are in TARGET_CHECKS.
# Of a slowdown: 1,000 times is what load of others can do to a simulated core at most.
_UNIT_CHANGES: Checks = {
    "max_mhz": partial(number, above=0),
    "cores": partial(whole, low=0),
    "busy": partial(number, low=0, high=1),
    "slowdown": partial(number, low=1, high=1000),
}
_BOARD_CHANGES: Checks = {
    "ambient_c": partial(number, above=-273.15),
    "power_cap_w": partial(number, above=0),
}
_FORMS = {
    **dict.fromkeys(TARGET_CHECKS, "at(t, APP, {}=...)"),
    **dict.fromkeys(_UNIT_CHANGES, "at(t, unit=UNIT, {}=...)"),
    **dict.fromkeys(_BOARD_CHANGES, "at(t, {}=...)"),
}
_LIFTED_BY_NONE = {"max_mhz", "cores", "slowdown", "power_cap_w"}


@dataclass(frozen=True, kw_only=True, slots=True)
class AppChange:
    """New targets of an app.

    Attributes:
        at_s: Time in seconds from the start of the run.
        app: The app's name.
        changes: Those of `latency_ms`, `min_accuracy`, `weight`, `slo` that change.
    """

    at_s: float
    app: str
    changes: Mapping[str, float] = field(hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitChange:
    """A new state of one unit of the board.

    Attributes:
        at_s: Time in seconds from the start of the run.
        unit: The unit's name.
        changes: Those that change of `max_mhz` and `cores`, the number of its first CPUs that stay in use (None lifts
            the limit; 0 takes the unit away), `busy`, the share of the unit that other programs take, and `slowdown`,
            how many times as long requests take there (None or 1 ends it), of which the manager is not told.
    """

    at_s: float
    unit: str
    changes: Mapping[str, float | None] = field(hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardChange:
    """A new state of the whole board.

    Attributes:
        at_s: Time in seconds from the start of the run.
        changes: Those that change of `ambient_c` and `power_cap_w` (None lifts it).
    """

    at_s: float
    changes: Mapping[str, float | None] = field(hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class AppAddition:
    """The joining of an app at `at_s` seconds from the start of the run."""

    at_s: float
    app: App


@dataclass(frozen=True, kw_only=True, slots=True)
class AppRemoval:
    """The leaving of the app of this name at `at_s` seconds from the start of the run."""

    at_s: float
    app: str


MixEvent: TypeAlias = AppChange | UnitChange | BoardChange | AppAddition | AppRemoval


class _Changes(TypedDict, total=False):
    latency_ms: float
    min_accuracy: float
    weight: float
    slo: float
    max_mhz: float | None
    cores: int | None
    busy: float
    slowdown: float | None
    ambient_c: float
    power_cap_w: float | None


def at(
    at_s: float,
    app: str | None = None,
    *,
    unit: str | None = None,
    add: App | None = None,
    remove: str | None = None,
    **changes: Unpack[_Changes],
) -> MixEvent:
    """Make an event: a change at a time of the run.

    - `at(t, APP, latency_ms=, min_accuracy=, weight=, slo=)`: an app's targets change.
    - `at(t, unit=UNIT, max_mhz=, cores=, busy=)`: a unit changes; None lifts a limit of clock or cores.
      `cores=2` leaves the first two of the unit's CPUs, and `cores=0` takes the unit away, as power modes do.
    - `at(t, unit=UNIT, slowdown=1.5)`: requests take 1.5 times as long there from then on, also those in service, and
      the manager is not told; 1 or None ends it. For simulated and emulated units.
    - `at(t, ambient_c=)`, `at(t, power_cap_w=)`: the whole board changes; None lifts the cap.
    - `at(t, add=App(...))`, `at(t, remove=APP)`: an app joins or leaves.

    `at(10, "entrance", latency_ms=30)` gives the app `entrance` a target of 30 ms after 10 s;
    `at(20, unit="big", max_mhz=1400)` holds the unit `big` to 1,400 MHz after 20 s, and `at(30, unit="big",
    max_mhz=None)` lifts that limit.

    Args:
        at_s: Seconds from the start of the run.
        app: Name of the app whose targets change.
        unit: Name of the unit that changes.
        add: The app that joins.
        remove: Name of the app that leaves.
        **changes: The new values.

    Raises:
        MixError: A time or a value is out of range, a keyword is unknown, or the event is none of the above.
    """
    at_s = number("at(): the time", at_s, low=0)
    where = f"at({at_s:g})"
    given: dict[str, object] = dict(changes)
    subjects = {"app": app, "unit": unit, "add": add, "remove": remove}
    named = [key for key, subject in subjects.items() if subject is not None]
    for key in given:
        if key not in _FORMS:
            raise MixError(f"{where}: unknown keyword {shown(key)}. {suggestion(key, [*subjects, *_FORMS])}")
    if len(named) > 1:
        raise MixError(f"{where}: {' and '.join(named)} cannot be in one event; write an at() for each.")
    if add is not None:
        if not isinstance(add, App):
            raise MixError(f"{where}: add must be an App(...), not {shown(add)}.")
        _checked(where, given, {})
        return AppAddition(at_s=at_s, app=add)
    if remove is not None:
        _checked(where, given, {})
        return AppRemoval(at_s=at_s, app=text(f"{where}: remove", remove))
    if app is not None:
        return AppChange(at_s=at_s, app=text(f"{where}: app", app), changes=_checked(where, given, TARGET_CHECKS))
    if unit is not None:
        return UnitChange(at_s=at_s, unit=text(f"{where}: unit", unit), changes=_checked(where, given, _UNIT_CHANGES))
    return BoardChange(at_s=at_s, changes=_checked(where, given, _BOARD_CHANGES))


def _checked(where: str, given: Mapping[str, object], checks: Checks) -> dict[str, Any]:
    """Check the changes of one event; `checks` holds the changes that its subject can have."""
    for key in given:
        if key not in checks:
            raise MixError(f"{where}: {key} does not belong here; write {_FORMS[key].format(key)}.")
    if checks and not given:
        raise MixError(f"{where}: nothing changes; give one of {', '.join(checks)}.")
    return {
        key: None if value is None and key in _LIFTED_BY_NONE else checks[key](f"{where}: {key}", value)
        for key, value in given.items()
    }

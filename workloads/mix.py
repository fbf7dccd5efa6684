"""The language of a mix: which apps ask for what, and what changes while they run.

A mix is checked when it is made, so whoever holds a `Mix` need not check it again. What a mix cannot know is
checked by those who do: whether a supernet exists, and, through `Mix.check_board`, whether the board has a
unit. Nothing here knows about Ray, networks, policies or the time of day.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field, replace
from functools import partial
from math import ceil
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, TypedDict, Unpack, get_args

from workloads.arrivals import Arrivals, FloatArray, Periodic, Poisson, generator
from workloads.errors import MixError, choice, listed, number, suggestion, text, whole

Drop: TypeAlias = Literal["late", "oldest", "newest"]
Objective: TypeAlias = Literal["energy", "accuracy", "fair"]

MAX_REQUESTS = 10_000_000
"""Most requests one app may ask in a run; its arrival times are held in memory."""

# What may change, of what, and the check of its value. An app's row also checks the app itself.
_Checks: TypeAlias = Mapping[str, Callable[[str, object], float]]
_APP_CHANGES: _Checks = {
    "latency_ms": partial(number, above=0),
    "min_accuracy": partial(number, low=0, high=1),
    "weight": partial(number, above=0),
    "slo": partial(number, above=0, high=1),
}
_UNIT_CHANGES: _Checks = {
    "max_mhz": partial(number, above=0),
    "cores": partial(whole, low=1),
    "busy": partial(number, low=0, high=1),
}
_BOARD_CHANGES: _Checks = {
    "ambient_c": partial(number, above=-273.15),
    "power_cap_w": partial(number, above=0),
}
_FORMS = {
    **dict.fromkeys(_APP_CHANGES, "at(t, APP, {}=...)"),
    **dict.fromkeys(_UNIT_CHANGES, "at(t, unit=UNIT, {}=...)"),
    **dict.fromkeys(_BOARD_CHANGES, "at(t, {}=...)"),
}
_LIFTED_BY_NONE = {"max_mhz", "cores", "power_cap_w"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """One static model of a `Family`.

    Attributes:
        id: The file's name without its ending.
        path: The ONNX file, absolute.
        accuracy: Held-out accuracy as a fraction, or None where it is not known.
    """

    id: str
    path: Path
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Family:
    """A user's own static ONNX models as a ladder: `Family([("small.onnx", 0.37), ("large.onnx", 0.45)])`.

    A relative path is looked up from the current directory; every file must exist.

    Attributes:
        rungs: The models in the order given.
    """

    models: InitVar[Iterable[tuple[str | PathLike[str], float | None]]]
    rungs: tuple[Rung, ...] = field(init=False)

    def __post_init__(self, models: Iterable[tuple[str | PathLike[str], float | None]]) -> None:
        rungs: dict[str, Rung] = {}
        for model in listed("Family", models):
            rung = _rung(model)
            if rung.id in rungs:
                raise MixError(
                    f"Family: two models are called {rung.id!r}, {str(rungs[rung.id].path)!r} "
                    f"and {str(rung.path)!r}; rename one file."
                )
            rungs[rung.id] = rung
        if not rungs:
            raise MixError('Family([]) has no model; give at least one: Family([("model.onnx", 0.75)]).')
        object.__setattr__(self, "rungs", tuple(rungs.values()))


@dataclass(frozen=True, slots=True)
class App:
    """One application: a dynamic network, the requests for it and what they are to meet.

    Attributes:
        name: Lower-case letters, digits, `_` and `-`; unique in the mix.
        supernet: A supernet's name, or a `Family`.
        arrivals: When requests come.
        latency_ms: Target from the scheduled arrival to the result.
        min_accuracy: Every sub-network used has at least this held-out accuracy, a fraction.
        weight: What a violation counts beside those of other apps.
        slo: Share of the requests that must meet the target.
        queue: Bound of waiting requests; None: see `queue_bound`.
        drop: Which request goes: the `late` one at the head, whose deadline has passed, the `oldest` or the
            `newest`.
        source: Where inputs come from: a folder or a callable; None is the supernet's own labelled stream.
        on_result: Called with (request, output) after each request.
    """

    name: str
    supernet: str | Family
    arrivals: Arrivals
    latency_ms: float
    _: KW_ONLY
    min_accuracy: float = 0.0
    weight: float = 1.0
    slo: float = 0.95
    queue: int | None = None
    drop: Drop = "late"
    source: str | PathLike[str] | Callable[..., Any] | None = None
    on_result: Callable[[Any, Any], object] | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        where = f"app {self.name!r}"
        if not isinstance(self.supernet, str | Family) or not self.supernet:
            raise MixError(f"{where}: supernet must be a supernet's name or a Family, not {self.supernet!r}.")
        if not isinstance(self.arrivals, Arrivals):
            kinds = ", ".join(kind.__name__ for kind in get_args(Arrivals))
            raise MixError(f"{where}: arrivals must be one of {kinds}, such as Periodic(hz=5), not {self.arrivals!r}.")
        for key, check in _APP_CHANGES.items():
            object.__setattr__(self, key, check(f"{where}: {key}", getattr(self, key)))
        if self.queue is not None:
            object.__setattr__(self, "queue", whole(f"{where}: queue", self.queue, low=1))
        choice(f"{where}: drop", self.drop, get_args(Drop))
        if not (self.source is None or isinstance(self.source, str | PathLike) or callable(self.source)):
            raise MixError(f"{where}: source must be a folder, a callable or None, not {self.source!r}.")
        if not (self.on_result is None or callable(self.on_result)):
            raise MixError(f"{where}: on_result must be a callable or None, not {self.on_result!r}.")

    def queue_bound(self, latency_ms: float | None = None) -> int:
        """Most requests that may wait.

        Args:
            latency_ms: The target in force; None is the app's first.

        Returns:
            `queue` where it is given, else as many as arrive within the target, and at least 2. A rate that
            is not known beforehand counts as none.
        """
        if self.queue is not None:
            return self.queue
        target_ms = self.latency_ms if latency_ms is None else latency_ms
        return max(2, ceil((self.arrivals.rate_hz or 0.0) * target_ms / 1000))


@dataclass(frozen=True, kw_only=True, slots=True)
class AppChange:
    """New targets of an app.

    Attributes:
        at_s: When, from the start of the run.
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
        at_s: When, from the start of the run.
        unit: The unit's name.
        changes: Those that change of `max_mhz` and `cores` (None lifts them) and `busy`, the share of the
            unit that load which is not ours takes.
    """

    at_s: float
    unit: str
    changes: Mapping[str, float | None] = field(hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardChange:
    """A new state of the whole board.

    Attributes:
        at_s: When, from the start of the run.
        changes: Those that change of `ambient_c` and `power_cap_w` (None lifts it).
    """

    at_s: float
    changes: Mapping[str, float | None] = field(hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class AppAdded:
    """An app joins at `at_s`."""

    at_s: float
    app: App


@dataclass(frozen=True, kw_only=True, slots=True)
class AppRemoved:
    """The app of this name leaves at `at_s`."""

    at_s: float
    app: str


Event: TypeAlias = AppChange | UnitChange | BoardChange | AppAdded | AppRemoved


class _Changes(TypedDict, total=False):
    latency_ms: float
    min_accuracy: float
    weight: float
    slo: float
    max_mhz: float | None
    cores: int | None
    busy: float
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
) -> Event:
    """Makes an event: something that changes at a time.

    - `at(t, APP, latency_ms=, min_accuracy=, weight=, slo=)`: an app's targets change.
    - `at(t, unit=UNIT, max_mhz=, cores=, busy=)`: the board changes; None lifts a limit of clock or cores.
    - `at(t, ambient_c=)`, `at(t, power_cap_w=)`: the same for the whole board; None lifts the cap.
    - `at(t, add=App(...))`, `at(t, remove=APP)`: an app joins or leaves.

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
            raise MixError(f"{where}: unknown keyword {key!r}. {suggestion(key, [*subjects, *_FORMS])}")
    if len(named) > 1:
        raise MixError(f"{where}: {' and '.join(named)} cannot be in one event; write an at() for each.")
    if add is not None:
        if not isinstance(add, App):
            raise MixError(f"{where}: add must be an App(...), not {add!r}.")
        _checked(where, given, {})
        return AppAdded(at_s=at_s, app=add)
    if remove is not None:
        _checked(where, given, {})
        return AppRemoved(at_s=at_s, app=text(f"{where}: remove", remove))
    if app is not None:
        return AppChange(at_s=at_s, app=text(f"{where}: app", app), changes=_checked(where, given, _APP_CHANGES))
    if unit is not None:
        return UnitChange(at_s=at_s, unit=text(f"{where}: unit", unit), changes=_checked(where, given, _UNIT_CHANGES))
    return BoardChange(at_s=at_s, changes=_checked(where, given, _BOARD_CHANGES))


class UnitLimits(Protocol):
    """What `Mix.check_board` asks of a unit."""

    @property
    def name(self) -> str:
        """The unit's name."""

    @property
    def cores(self) -> int:
        """Its number of cores."""

    @property
    def mhz(self) -> Sequence[float]:
        """Its clocks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Presence:
    """An app and the time [from_s, to_s) in which it is in the mix; never empty."""

    app: App
    from_s: float
    to_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What an app is to meet from `from_s` on, until the next target or its end; see `App` for the fields."""

    from_s: float
    latency_ms: float
    min_accuracy: float
    weight: float
    slo: float


@dataclass(frozen=True, slots=True)
class Mix:
    """Apps that run together on one board, and what happens meanwhile.

    Attributes:
        name: What reports call the mix.
        apps: The apps that are there from the start.
        events: What changes, made by `at`; kept in order of time, and as given at one time.
        duration_s: Length of the run.
        objective: `energy`: least power at the targets; `accuracy`: most accurate at the targets and the cap,
            then least power; `fair`: least worst violation, then power.
        power_cap_w: Cap of the board's power; None is no cap.
        boards: The boards that `gearshift bench` runs this mix on.
    """

    name: str
    _: KW_ONLY
    apps: Sequence[App]
    events: Sequence[Event] = ()
    duration_s: float
    objective: Objective = "energy"
    power_cap_w: float | None = None
    boards: Sequence[str] = ()

    def __post_init__(self) -> None:
        where = f"mix {text('mix: name', self.name)!r}"
        duration_s = number(f"{where}: duration_s", self.duration_s, above=0)
        object.__setattr__(self, "duration_s", duration_s)
        for key, kind, example in (
            ("apps", App, "App(...)"),
            ("events", Event, "at(...)"),
            ("boards", str, '"NAME"'),
        ):
            items = listed(f"{where}: {key}", getattr(self, key))
            for item in items:
                if not isinstance(item, kind):
                    raise MixError(f"{where}: {key} must hold {example} only, not {item!r}.")
            object.__setattr__(self, key, items)
        object.__setattr__(self, "events", tuple(sorted(self.events, key=lambda event: event.at_s)))
        choice(f"{where}: objective", self.objective, get_args(Objective))
        if self.power_cap_w is not None:
            cap_w = _BOARD_CHANGES["power_cap_w"](f"{where}: power_cap_w", self.power_cap_w)
            object.__setattr__(self, "power_cap_w", cap_w)
        self._check_names(where)
        self._check_events(where)
        self._check_presences(where)

    def all_apps(self) -> tuple[Presence, ...]:
        """Lists every app with the time it is present: those there from the start, then those added."""
        left_s = {event.app: event.at_s for event in self.events if isinstance(event, AppRemoved)}
        came = [(0.0, app) for app in self.apps]
        came += [(event.at_s, event.app) for event in self.events if isinstance(event, AppAdded)]
        return tuple(
            Presence(app=app, from_s=from_s, to_s=left_s.get(app.name, self.duration_s)) for from_s, app in came
        )

    def targets_of(self, app: str) -> tuple[Target, ...]:
        """Lists the targets of an app in order of time, each from another moment within its presence.

        Raises:
            MixError: The mix never has an app of this name.
        """
        presences = {presence.app.name: presence for presence in self.all_apps()}
        if app not in presences:
            raise MixError(f"mix {self.name!r} has no app {app!r}. {suggestion(app, presences)}")
        presence = presences[app]
        target = Target(from_s=presence.from_s, **{key: getattr(presence.app, key) for key in _APP_CHANGES})
        targets = {target.from_s: target}
        for event in self.events:
            if isinstance(event, AppChange) and event.app == app and event.at_s < presence.to_s:
                target = replace(target, from_s=event.at_s, **event.changes)
                targets[target.from_s] = target
        return tuple(targets.values())

    def arrivals_s(self, seed: int) -> dict[str, FloatArray]:
        """Generates the arrival times of every app, in seconds from the start of the run.

        An app's times lie within its presence and depend on the seed, its name, its arrivals and when it is
        present; not on the other apps, nor on whoever serves the requests.

        Args:
            seed: A whole number of at least 0.

        Returns:
            For each app the sorted times, shape (n,); empty where a client or a closed loop decides.

        Raises:
            MixError: The seed is not a whole number of at least 0.
        """
        times_s = {}
        for presence in self.all_apps():
            app, from_s = presence.app, presence.from_s
            own_s = app.arrivals.times_s(presence.to_s - from_s, generator(seed, app.name)) + from_s
            # The sum may round up to the end itself.
            times_s[app.name] = own_s[own_s < presence.to_s]
        return times_s

    def check_board(self, units: Iterable[UnitLimits]) -> None:
        """Checks that a board can do what the events ask of it.

        Raises:
            MixError: A unit that the board lacks, a clock below its lowest, or more cores than it has.
        """
        by_name = {unit.name: unit for unit in units}
        for event in self.events:
            if not isinstance(event, UnitChange):
                continue
            where = f"mix {self.name!r}: event at {event.at_s:g} s"
            unit = by_name.get(event.unit)
            if unit is None:
                raise MixError(f"{where}: the board has no unit {event.unit!r}. {suggestion(event.unit, by_name)}")
            max_mhz, cores = event.changes.get("max_mhz"), event.changes.get("cores")
            if max_mhz is not None and max_mhz < min(unit.mhz):
                raise MixError(
                    f"{where}: max_mhz={max_mhz:g} is below the lowest clock of {unit.name!r}; "
                    f"give at least {min(unit.mhz):g}."
                )
            if cores is not None and cores > unit.cores:
                raise MixError(f"{where}: cores={cores} but {unit.name!r} has {unit.cores}; give at most that.")

    def _check_names(self, where: str) -> None:
        names = [presence.app.name for presence in self.all_apps()]
        if not names:
            raise MixError(f"{where}: apps is empty; give at least one App(...).")
        for index, name in enumerate(names):
            if name in names[:index]:
                raise MixError(f"{where}: two apps are named {name!r}, those added later included; rename one.")

    def _check_events(self, where: str) -> None:
        names = [presence.app.name for presence in self.all_apps()]
        present = {app.name for app in self.apps}
        left_s: dict[str, float] = {}
        for event in self.events:
            at_event = f"{where}: event at {event.at_s:g} s"
            if event.at_s > self.duration_s:
                raise MixError(
                    f"{at_event}: the run ends at {self.duration_s:g} s; move the event or raise duration_s."
                )
            if isinstance(event, AppAdded):
                present.add(event.app.name)
            if not isinstance(event, AppChange | AppRemoved):
                continue
            if event.app not in names:
                raise MixError(f"{at_event}: there is no app {event.app!r}. {suggestion(event.app, names)}")
            if event.app in left_s:
                raise MixError(f"{at_event}: app {event.app!r} was removed at {left_s[event.app]:g} s.")
            if event.app not in present:
                raise MixError(f"{at_event}: app {event.app!r} is added only later; move the event after that.")
            if isinstance(event, AppRemoved):
                left_s[event.app] = event.at_s

    def _check_presences(self, where: str) -> None:
        for presence in self.all_apps():
            app, length_s = presence.app, presence.to_s - presence.from_s
            if length_s <= 0:
                raise MixError(
                    f"{where}: app {app.name!r} is never there: it comes at {presence.from_s:g} s "
                    f"and is gone at {presence.to_s:g} s."
                )
            if isinstance(app.arrivals, Periodic | Poisson) and app.arrivals.hz * length_s > MAX_REQUESTS:
                raise MixError(
                    f"{where}: app {app.name!r}: hz={app.arrivals.hz!r} makes more than {MAX_REQUESTS:,} "
                    f"requests in {length_s:g} s; lower hz or duration_s."
                )


def _checked(where: str, given: Mapping[str, object], checks: _Checks) -> dict[str, Any]:
    """Checks the changes of one event; `checks` holds those that its subject can have."""
    for key in given:
        if key not in checks:
            raise MixError(f"{where}: {key} does not belong here; write {_FORMS[key].format(key)}.")
    if checks and not given:
        raise MixError(f"{where}: nothing changes; give one of {', '.join(checks)}.")
    return {
        key: None if value is None and key in _LIFTED_BY_NONE else checks[key](f"{where}: {key}", value)
        for key, value in given.items()
    }


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not re.fullmatch("[a-z0-9_-]+", name):
        slug = re.sub("[^a-z0-9_-]+", "-", name.lower()).strip("-") if isinstance(name, str) else ""
        mend = f" Did you mean {slug!r}?" if slug else ""
        raise MixError(f"app: name must be lower-case letters, digits, '_' and '-', not {name!r}.{mend}")


def _rung(model: object) -> Rung:
    match model:
        case (str() | PathLike() as file, accuracy):
            path = Path(file).absolute()
        case _:
            raise MixError(f"Family: each model is a pair of file and accuracy, not {model!r}.")
    if not path.is_file():
        raise MixError(f"Family: there is no file {str(file)!r} (looked for {str(path)!r}).")
    if accuracy is not None:
        accuracy = number(f"Family: accuracy of {str(file)!r}", accuracy, low=0, high=1)
    return Rung(id=path.stem, path=path, accuracy=accuracy)

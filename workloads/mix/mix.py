"""A mix: apps that run together on one board, and the events of the run.

A mix is checked when it is made, so whoever holds a `Mix` need not check it again. Two things are checked elsewhere,
since a mix cannot know them: that a supernet exists, and, through `Mix.check_board`, that the board has a unit. Nothing
here knows about Ray, networks, policies or the time of day.
"""

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Protocol

from scheduler.errors import shown
from scheduler.objectives import OBJECTIVES, ObjectiveName
from workloads.mix.app import TARGET_CHECKS, App
from workloads.mix.arrivals import FloatArray, Periodic, Poisson, Trace, generator
from workloads.mix.errors import MixError, choice, file_name, listed, number, suggestion
from workloads.mix.events import AppAddition, AppChange, AppRemoval, MixEvent, UnitChange

MAX_NOISE = 10.0
"""Highest coefficient of variation of the noise. Half of all factors are below 1/sqrt(1 + 10²), a tenth, there. Beyond
that, the mean of 1 is made up by a few requests that a run may not have."""

MAX_REQUESTS = 10_000_000
"""Most requests that one app may send in a run; its arrival times are held in memory."""


class UnitLimits(Protocol):
    """The part of a unit that `Mix.check_board` looks at."""

    @property
    def name(self) -> str:
        """Name of the unit."""

    @property
    def cores(self) -> int:
        """Number of cores."""

    @property
    def mhz(self) -> Sequence[float]:
        """Clocks in MHz."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Targets of an app from `from_s` on, until its next target or its end; see `App` for the fields."""

    from_s: float
    latency_ms: float
    min_accuracy: float
    weight: float
    slo: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Presence:
    """An app while it is in the mix.

    Attributes:
        app: The app as the mix declares it.
        from_s: Time at which it joins, in seconds from the start of the run.
        to_s: Time at which it leaves, later than `from_s`; the app is no longer there at that moment.
        targets: Its targets in order of time, each from another moment of its presence; the first from `from_s`.
    """

    app: App
    from_s: float
    to_s: float
    targets: tuple[Target, ...]

    @property
    def length_s(self) -> float:
        """How long the app is in the mix, in seconds; above 0."""
        return self.to_s - self.from_s


@dataclass(frozen=True, slots=True)
class Mix:
    """Apps that run together on one board, and the events of the run.

    Two apps for 40 s, one of which gets a tighter target after 10 s:

        Mix(
            "car-park",
            duration_s=40,
            apps=[
                App("entrance", supernet="ofa-plates", arrivals=Periodic(hz=15), latency_ms=60),
                App("garage", supernet="ofa-plates", arrivals=Poisson(hz=5), latency_ms=150),
            ],
            events=[at(10, "entrance", latency_ms=30)],
        )

    Attributes:
        name: Name of the mix in reports.
        apps: The apps that are there from the start.
        events: The changes, made by `at`; kept in order of time, and at one time in the order given.
        duration_s: Length of the run in seconds, above 0.
        objective: `energy`: least power at the targets; `accuracy`: most accurate at the targets and the cap,
            then least power; `fair`: least worst violation, then power.
        power_cap_w: Cap of the board's power in watts, above 0; None is no cap.
        boards: The boards that `gearshift bench` runs this mix on.
        noise: Coefficient of variation of a factor, of mean 1, on every request's service time, of which the manager is
            not told: 0.1 makes a tenth. For simulated and emulated units.
    """

    name: str
    _: KW_ONLY
    apps: Sequence[App]
    events: Sequence[MixEvent] = ()
    duration_s: float
    objective: ObjectiveName = "energy"
    power_cap_w: float | None = None
    boards: Sequence[str] = ()
    noise: float = 0.0
    _presences: tuple[Presence, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        where = f"mix {file_name('mix: name', self.name)!r}"
        duration_s = number(f"{where}: duration_s", self.duration_s, above=0)
        object.__setattr__(self, "duration_s", duration_s)
        for key, kind, example in (
            ("apps", App, "App(...)"),
            ("events", MixEvent, "at(...)"),
            ("boards", str, '"NAME"'),
        ):
            items = listed(f"{where}: {key}", getattr(self, key))
            for item in items:
                if not isinstance(item, kind):
                    raise MixError(f"{where}: {key} must hold {example} only, not {shown(item)}.")
            object.__setattr__(self, key, items)
        object.__setattr__(self, "events", tuple(sorted(self.events, key=lambda event: event.at_s)))
        choice(f"{where}: objective", self.objective, OBJECTIVES)
        if self.power_cap_w is not None:
            cap_w = number(f"{where}: power_cap_w", self.power_cap_w, above=0)
            object.__setattr__(self, "power_cap_w", cap_w)
        object.__setattr__(self, "noise", number(f"{where}: noise", self.noise, low=0, high=MAX_NOISE))
        object.__setattr__(self, "_presences", self._find_presences())
        self._check_names(where)
        self._check_events(where)
        self._check_presences(where)

    def all_apps(self) -> tuple[Presence, ...]:
        """Return every app with the time it is present: those there from the start, then those added."""
        return self._presences

    def targets_of(self, app: str) -> tuple[Target, ...]:
        """Return the targets of an app in order of time, each from another moment within its presence.

        Raises:
            MixError: The mix never has an app of this name.
        """
        for presence in self._presences:
            if presence.app.name == app:
                return presence.targets
        names = [presence.app.name for presence in self._presences]
        raise MixError(f"mix {self.name!r} has no app {app!r}. {suggestion(app, names)}")

    def arrivals_s(self, seed: int) -> dict[str, FloatArray]:
        """Generate the arrival times of every app, in seconds from the start of the run.

        An app's times lie within its presence and depend on the seed, its name, its arrivals and when it is
        present. They do not depend on the other apps, nor on whoever serves the requests.

        Args:
            seed: A whole number of at least 0.

        Returns:
            For each app the sorted times, shape (n,); empty where a client or a closed loop decides.

        Raises:
            InputError: The seed is not a whole number of at least 0.
        """
        times_s = {}
        for presence in self._presences:
            app, from_s = presence.app, presence.from_s
            own_s = app.arrivals.times_s(presence.length_s, generator(seed, app.name)) + from_s
            # The sum may round up to the end itself.
            times_s[app.name] = own_s[own_s < presence.to_s]
        return times_s

    def notices(self) -> list[str]:
        """Return what a user must know: the noise, how many times of a `Trace` the run does not use, and why."""
        said = []
        if self.noise:
            said.append(
                f"noise={self.noise:g}: each service time is multiplied by a random factor of mean 1 and that "
                "coefficient of variation, of which the manager is not told"
            )
        for presence in self._presences:
            arrivals = presence.app.arrivals
            unused = arrivals.unused(presence.length_s) if isinstance(arrivals, Trace) else None
            if unused:
                said.append(f"app {presence.app.name!r}: {unused}")
        return said

    def check_board(self, units: Iterable[UnitLimits]) -> None:
        """Check that a board can do what the events ask of it.

        A mix with `at(20, unit="big", max_mhz=1400)` needs a board that has a unit `big` with a clock of at most
        1,400 MHz.

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
                raise MixError(f"{where}: the board has no unit {shown(event.unit)}. {suggestion(event.unit, by_name)}")
            max_mhz, cores = event.changes.get("max_mhz"), event.changes.get("cores")
            if max_mhz is not None and max_mhz < min(unit.mhz):
                raise MixError(
                    f"{where}: max_mhz={max_mhz:g} is below the lowest clock of {unit.name!r}; "
                    f"give at least {min(unit.mhz):g}."
                )
            if cores is not None and cores > unit.cores:
                raise MixError(f"{where}: cores={cores} but {unit.name!r} has {unit.cores}; give at most that.")

    def _find_presences(self) -> tuple[Presence, ...]:
        left_s = {event.app: event.at_s for event in self.events if isinstance(event, AppRemoval)}
        came = [(0.0, app) for app in self.apps]
        came += [(event.at_s, event.app) for event in self.events if isinstance(event, AppAddition)]
        presences = []
        for from_s, app in came:
            to_s = left_s.get(app.name, self.duration_s)
            targets = self._targets(app, from_s, to_s)
            presences.append(Presence(app=app, from_s=from_s, to_s=to_s, targets=targets))
        return tuple(presences)

    def _targets(self, app: App, from_s: float, to_s: float) -> tuple[Target, ...]:
        target = Target(from_s=from_s, **{key: getattr(app, key) for key in TARGET_CHECKS})
        # By moment: of several events at one time, the last leaves what all of them made of the target.
        targets = {from_s: target}
        for event in self.events:
            if isinstance(event, AppChange) and event.app == app.name and event.at_s < to_s:
                target = replace(target, from_s=event.at_s, **event.changes)
                targets[target.from_s] = target
        return tuple(targets.values())

    def _check_names(self, where: str) -> None:
        names = [presence.app.name for presence in self._presences]
        if not names:
            raise MixError(f"{where}: apps is empty; give at least one App(...).")
        for index, name in enumerate(names):
            if name in names[:index]:
                raise MixError(f"{where}: two apps are named {name!r}, those added later included; rename one.")

    def _check_events(self, where: str) -> None:
        names = [presence.app.name for presence in self._presences]
        present = {app.name for app in self.apps}
        left_s: dict[str, float] = {}
        for event in self.events:
            at_event = f"{where}: event at {event.at_s:g} s"
            if event.at_s > self.duration_s:
                raise MixError(
                    f"{at_event}: the run ends at {self.duration_s:g} s; move the event or raise duration_s."
                )
            if isinstance(event, AppAddition):
                present.add(event.app.name)
            if not isinstance(event, AppChange | AppRemoval):
                continue
            if event.app not in names:
                raise MixError(f"{at_event}: there is no app {shown(event.app)}. {suggestion(event.app, names)}")
            if event.app in left_s:
                raise MixError(f"{at_event}: app {shown(event.app)} was removed at {left_s[event.app]:g} s.")
            if event.app not in present:
                raise MixError(f"{at_event}: app {shown(event.app)} is added only later; move the event after that.")
            if isinstance(event, AppRemoval):
                left_s[event.app] = event.at_s

    def _check_presences(self, where: str) -> None:
        for presence in self._presences:
            app, length_s = presence.app, presence.length_s
            if length_s <= 0:
                raise MixError(
                    f"{where}: app {app.name!r} is never there: it comes at {presence.from_s:g} s "
                    f"and is gone at {presence.to_s:g} s."
                )
            if isinstance(app.arrivals, Trace) and not app.arrivals.used(length_s):
                raise MixError(f"{where}: app {app.name!r}: {app.arrivals.unused(length_s)}")
            if isinstance(app.arrivals, Periodic | Poisson) and app.arrivals.hz * length_s > MAX_REQUESTS:
                raise MixError(
                    f"{where}: app {app.name!r}: hz={app.arrivals.hz!r} makes more than {MAX_REQUESTS:,} "
                    f"requests in {length_s:g} s; lower hz or duration_s."
                )

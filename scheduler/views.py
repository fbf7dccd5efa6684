"""The data that a policy is shown, `Snapshot`, and the data that it answers with, `Plan`.

Their names and meanings are the public surface for users' own policies. `examples/own_policy.py` is a whole policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scheduler.objectives import ObjectiveName
from scheduler.points import ArrivalKind, ArrivalModel
from scheduler.problem import OperatingPoint
from scheduler.profile import Profile
from scheduler.request_clock import Pace


@dataclass(frozen=True, kw_only=True, slots=True)
class Gear:
    """A sub-network on some cores of a unit, for one application. The clock belongs to the unit, not to the gear.

    `Gear(subnet="small", unit="big", cores=2)` runs `small` on two cores of `big`.

    Attributes:
        subnet: identifier of the sub-network.
        unit: name of the unit.
        cores: how many of its cores, and as many threads; 1 on a GPU.
    """

    subnet: str
    unit: str
    cores: int

    @classmethod
    def of(cls, entry: Sequence[Any]) -> Gear:
        """Return the gear that `plain` gave: `["small", "big", 2]` is `small` on two cores of `big`."""
        subnet, unit, cores = entry
        return cls(subnet=subnet, unit=unit, cores=cores)

    def plain(self) -> list[object]:
        """Return the gear as plain values for a message or a log: `[subnet, unit, cores]`."""
        return [self.subnet, self.unit, self.cores]


@dataclass(frozen=True, kw_only=True, slots=True)
class AppView:
    """One application as it stands at an epoch.

    Example: an application with `target_ms=50` and `slo=0.95` wants 95 of 100 requests finished within 50 ms. At
    `rate_hz=10` and an epoch of 1 s, `n` is about 10; where one of 10 was late, `on_time` is 0.9.

    Attributes:
        app: name of the application.
        target_ms: latency target in force.
        min_accuracy: accuracy floor in force, a fraction; 0 for none.
        weight: importance.
        slo: share of requests that must be within the target.
        rate_hz: arrivals a second, declared or observed.
        queue_len: requests waiting.
        gear: acknowledged gear; None before the first.
        n: requests finished (completed, dropped or failed) since the last epoch.
        on_time: share of those `n` that were within the target; None where `n` is 0.
        p95_ms: 95th percentile of the latest latencies; None where there are none.
        mean_ms: mean of the latest 20 latencies; None where there are none.
        service_ratio: observed over profiled service time of its networks, 1.0 where unknown. At 1.2 an inference takes
            20 % longer than profiled, on a unit with `UnitView.slowdown` of 1; `points` have both in them already.
        own_ratio: observed over foreseen latency, for requests that wait for no other application; 1.0 unless plans
            foresaw too much. At 0.8, a point's `latency_ms` of 50 has turned out to be 40.
        wait_ratio: observed over foreseen waiting for other applications on a shared unit; 1.0 unless plans foresaw
            too much. At 0.5, half of what a plan allows for others has been waited.
        points: its operating points at this rate, those of the smallest sub-network first.
        arrivals: how its requests come: `periodic`, `poisson` or `saturate`.
        jitter_ms: largest delay of a periodic release.
        phase_ms: board time of a first periodic release, from which the others follow at the rate; None where it is
            not known.
        margin: share by which latencies are taken to be longer since requests were late, 0 unless they were; `points`
            have it in them already.
        profile: the measured times of its ladder; None where a view is made without.
        cpus: the CPUs that it has or is about to have, by the kernel's numbers, rising; none on a GPU and before its
            first gear.
    """

    app: str
    target_ms: float
    min_accuracy: float
    weight: float
    slo: float
    rate_hz: float
    queue_len: int
    gear: Gear | None
    n: int
    on_time: float | None
    p95_ms: float | None
    mean_ms: float | None
    service_ratio: float
    own_ratio: float
    wait_ratio: float
    points: Sequence[OperatingPoint]
    arrivals: ArrivalKind = "poisson"
    jitter_ms: float = 0.0
    phase_ms: float | None = None
    margin: float = 0.0
    profile: Profile | None = None
    cpus: tuple[int, ...] = ()

    @property
    def arrival_model(self) -> ArrivalModel:
        """How its requests come, at the rate in force."""
        return ArrivalModel(kind=self.arrivals, rate_hz=self.rate_hz, jitter_ms=self.jitter_ms)


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitView:
    """One unit as it stands at an epoch.

    Example: a unit with `mhz_allowed=(1000, 1400)`, `static_w=(0.2, 0.3)` and `dynamic_w=(0.5, 0.9)` takes
    0.3 + 2 · 0.9 = 2.1 W while two of its cores are busy at 1,400 MHz.

    Attributes:
        name: name of the unit.
        kind: `cpu` or `gpu`.
        cpus_online: the CPUs that may be used now, by the kernel's numbers, rising; (0,) on a GPU.
        mhz_now: its clock now.
        mhz_allowed: the clocks that it may take now, rising.
        busy: share of its core time taken since the last epoch, 0 to 1.
        temp_c: its temperature; None where unknown.
        static_w: power at each of `mhz_allowed` with no load; None where unknown.
        dynamic_w: power of one busy core above `static_w`, at each of `mhz_allowed`; None where unknown.
        idle_share: power while none of its cores is busy, as a share of `static_w`.
        paced: True if the unit may get a clock for each request; its points then count on its standing at its lowest
            clock while nobody is served.
        off_w: power while it is switched off; None where it is not switched off, or where that is unknown.
        capacity: work that one of its cores does in a second at its top clock, without limits, relative to the cores
            of other units. A unit of 0.5 has cores half as fast as a unit of 1.0.
        slowdown: how many times as long as profiled requests have turned out to take there, whatever they are; 1.0
            where unknown. `AppView.points` have that in them already.
    """

    name: str
    kind: str
    cpus_online: tuple[int, ...]
    mhz_now: float
    mhz_allowed: tuple[float, ...]
    busy: float
    temp_c: float | None
    static_w: tuple[float, ...] | None
    dynamic_w: tuple[float, ...] | None
    capacity: float
    idle_share: float = 1.0
    off_w: float | None = None
    paced: bool = False
    slowdown: float = 1.0

    @property
    def least_edp_mhz(self) -> float:
        """The clock at which one core's work has the least product of energy and time; the highest if power is unknown.

        Work that somebody waits for is worth more than the least energy, and less than the least time. The product
        (Gonzalez and Horowitz, "Energy dissipation in general purpose microprocessors", 1996) is power over the square
        of the clock where time goes as 1 / clock: 2.3 W at 2,000 MHz is more than 1.2 W at 1,600 MHz.
        """
        if self.static_w is None or self.dynamic_w is None:
            return self.mhz_allowed[-1]
        points = zip(self.mhz_allowed, self.static_w, self.dynamic_w, strict=True)
        return min(points, key=lambda point: (point[1] + point[2]) / point[0] ** 2)[0]

    @property
    def cores_online(self) -> int:
        """Number of cores that may be used now; 1 on a GPU."""
        return len(self.cpus_online)


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """All that a policy decides on.

    Attributes:
        epoch: number of the epoch.
        now_s: present time, board time.
        apps: the applications present; one is left out that was profiled for no unit that is there now.
        units: the units of the board; one that is away, with no CPU online, is left out.
        power_w: power of all units over the last epoch; None where unknown.
        power_cap_w: power that the units may take together; None for no cap.
        objective: what a policy that optimises is to optimise.
        events: what has happened since the last decision, in words, such as `"big: max_mhz 1400"`.
    """

    epoch: int
    now_s: float
    apps: tuple[AppView, ...]
    units: tuple[UnitView, ...]
    power_w: float | None
    power_cap_w: float | None
    objective: ObjectiveName
    events: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A policy's answer: a gear for every application of the snapshot, and a clock or a governor for every unit.

    `Plan(gears={"camera": Gear(subnet="small", unit="big", cores=2)}, clocks={"big": 1400, "little": "schedutil"})`
    sets `big` to 1,400 MHz and leaves the clock of `little` to the governor schedutil.

    Attributes:
        gears: by application of the snapshot, its gear.
        clocks: by unit, one of its `mhz_allowed` or the name of a governor.
        optimal: True if the policy has proven that nothing better exists; None where it makes no such claim.
        within: share by which a better plan could be better at most, in what its objective seeks: 0.01 for a power of
            1 W where 0.99 W is proven to be needed, 0 where `optimal`; None where that is not known.
        clamps_mhz: by application, the clock that it needs while it runs. Only the governor `schedutil-uclamp` heeds
            it.
        cpus: by application, the CPUs that it gets, by the kernel's numbers, as many as its gear has cores. A CPU unit
            of which no application is named is left to the manager: it shares no CPU where it need not, and else
            spreads the load.
        awake_cpus: by unit, how many of its CPUs applications may run on, so that the others can sleep; all that are
            online on a unit that is left out. It is for units that `cpus` leaves to the manager.
        paces: by application, the rule by which each of its requests gets a clock. A unit with such applications rests
            at the clock that the rules say while none is served; `clocks` has the clock at which all targets would be
            met. Only for units that are `paced`, and then for all applications there.
    """

    gears: Mapping[str, Gear]
    clocks: Mapping[str, float | str]
    optimal: bool | None = None
    within: float | None = None
    clamps_mhz: Mapping[str, float] = field(default_factory=dict)
    cpus: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    awake_cpus: Mapping[str, int] = field(default_factory=dict)
    paces: Mapping[str, Pace] = field(default_factory=dict)

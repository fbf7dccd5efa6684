"""The kinds of arrivals: the times at which an app's requests come.

Arrival times are generated up front from a seed, never by whoever serves the requests: a slow server must not thin out
its own load (coordinated omission). Times count from the moment when the app joins the mix. Nothing here knows about
apps, targets or queues.

Every kind has two members:

- `rate_hz(duration_s)`: the mean rate in [0, duration_s); None where it is not known beforehand.
- `times_s(duration_s, rng)`: the sorted times in [0, duration_s). With the same generator a shorter duration gives a
  prefix of the times of a longer one, so an app that is removed earlier has the same requests until then.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, InitVar, dataclass, field
from decimal import Decimal
from numbers import Integral
from os import PathLike, fspath
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scheduler.errors import InputError, shown
from workloads.mix.errors import MixError, choice, listed, number, whole
from workloads.mix.trace_file import UNITS, read_times

FloatArray: TypeAlias = NDArray[np.float64]


def generator(seed: int, app: str) -> np.random.Generator:
    """Return the random generator of one app's arrivals.

    It depends on the seed and the app's name alone, so an app's arrivals do not change when another app joins, leaves
    or is renamed.

    Raises:
        InputError: The seed is not a whole number of at least 0.
    """
    return np.random.default_rng([whole("seed", seed, low=0, error=InputError), *app.encode()])


@dataclass(frozen=True, slots=True)
class Periodic:
    """Requests at a fixed rate, the first at 0, each delayed by a uniform random share of the jitter.

    `Periodic(hz=10)` sends requests at 0, 0.1, 0.2 s and so on; with `jitter_ms=20` the second one comes between 0.1
    and 0.12 s.

    Attributes:
        hz: Requests per second, above 0.
        jitter_ms: Largest delay of a request after its period began, at least 0.
    """

    hz: float
    jitter_ms: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "hz", number("Periodic: hz", self.hz, above=0))
        object.__setattr__(self, "jitter_ms", number("Periodic: jitter_ms", self.jitter_ms, low=0))

    def rate_hz(self, duration_s: float) -> float:
        """Return the mean rate: the `hz` given, however long."""
        return self.hz

    def times_s(self, duration_s: float, rng: np.random.Generator) -> FloatArray:
        """Return arrival times in [0, duration_s), sorted, shape (n,)."""
        times_s = np.arange(math.ceil(self.hz * duration_s) + 1) / self.hz
        if self.jitter_ms:
            # A jitter longer than the period lets one release overtake another.
            times_s = np.sort(times_s + rng.uniform(0, self.jitter_ms / 1000, times_s.size))
        return times_s[times_s < duration_s]


@dataclass(frozen=True, slots=True)
class Poisson:
    """Requests that come independently of each other at a mean rate.

    `Poisson(hz=5)` sends 300 requests a minute on average, with gaps of 0.2 s on average; one gap in 150 is longer than
    1 s.

    Attributes:
        hz: Mean requests per second, above 0.
    """

    hz: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "hz", number("Poisson: hz", self.hz, above=0))

    def rate_hz(self, duration_s: float) -> float:
        """Return the mean rate: the `hz` given, however long."""
        return self.hz

    def times_s(self, duration_s: float, rng: np.random.Generator) -> FloatArray:
        """Return arrival times in [0, duration_s), sorted, shape (n,)."""
        # Exponential gaps at rate 1, stretched at the end. The sum is always taken from the first gap on, so
        # how many gaps were drawn does not change the rounding of any time.
        expected = self.hz * duration_s
        gaps = rng.standard_exponential(math.ceil(expected) + 16)
        while (times := np.cumsum(gaps))[-1] < expected:
            gaps = np.concatenate([gaps, rng.standard_exponential(gaps.size // 8 + 1)])
        times_s = times[times < expected] / self.hz
        return times_s[times_s < duration_s]


@dataclass(frozen=True, slots=True)
class Trace:
    """Recorded arrival times: a list, a text file with one time a line, or a column of a table.

    `Trace([0.0, 0.4, 0.4, 2.5])` sends one request when the app joins, two 0.4 s later and one at 2.5 s;
    `Trace("gate.csv")` reads the times from a file.
    `Trace("BurstGPT.csv", column="Timestamp", origin=3600)` replays a published table from its second hour on, and
    `Trace("log.txt", unit="ms", origin="first")` replays Unix time in milliseconds: the first request comes at once.

    A relative path is looked up from the current directory. Empty lines and what follows a `#` are skipped. A time may
    also be a date, such as `2023-11-16 18:17:03.979`, which counts as Unix time. Times must not decrease, but in a
    table, whose rows may be in any order; several requests may come at one time. Times after the end of the run are not
    used, and a notice says how many they are.

    Attributes:
        unit: Unit of the times given: `s`, `ms`, `us` or `ns`.
        origin: Time of the trace at which the app joins, in that unit, or `first`: the first time of the trace. Of a
            trace with another origin than 0, earlier times are not used.
        column: Column of a table that holds the times: its heading, or its number from 1. The columns are parted by
            tabs, semicolons or commas. None for a list, or for a file of one time a line.
        seconds: The times in seconds, from the origin on.
    """

    path_or_seconds: InitVar[str | PathLike[str] | Iterable[float]]
    _: KW_ONLY
    unit: Literal["s", "ms", "us", "ns"] = field(default="s", compare=False)
    origin: float | Literal["first"] = field(default=0, compare=False)
    column: str | int | None = field(default=None, compare=False)
    seconds: tuple[float, ...] = field(init=False)

    def __post_init__(self, path_or_seconds: str | PathLike[str] | Iterable[float]) -> None:
        choice("Trace: unit", self.unit, UNITS)
        if self.column is not None and not isinstance(self.column, str):
            whole("Trace: column", self.column, low=1)
        per_s = UNITS[self.unit]
        origin_s = None
        if not (isinstance(self.origin, str) and self.origin == "first"):
            origin_s = _exact("Trace: origin, unless it is 'first',", self.origin) / per_s
        where, times = _times(path_or_seconds, self.column, self.unit)
        if self.column is not None:
            # Rows of a table are events with a time each, and may be in the order of another column.
            times = iter(sorted(times, key=lambda one: (one[1].is_finite(), one[1] if one[1].is_finite() else 0)))
        object.__setattr__(self, "seconds", _ascending(where, times, origin_s))
        if not self.seconds:
            later = f" from its origin, {self.origin} {self.unit}, on" if origin_s else ""
            raise MixError(f"Trace({shown(path_or_seconds)}) holds no arrival time{later}; give at least one.")

    def rate_hz(self, duration_s: float) -> float | None:
        """Return the mean rate of the times in [0, duration_s): gaps per second; None for a single moment."""
        used = self.used(duration_s)
        span_s = self.seconds[used - 1] - self.seconds[0] if used else 0.0
        rate_hz = (used - 1) / span_s if span_s > 0 else math.inf
        return rate_hz if math.isfinite(rate_hz) else None

    def times_s(self, duration_s: float, rng: np.random.Generator) -> FloatArray:
        """Return arrival times in [0, duration_s), sorted, shape (n,); the generator is not used."""
        return np.array(self.seconds[: self.used(duration_s)])

    def used(self, duration_s: float) -> int:
        """Return how many times are in [0, duration_s)."""
        return int(np.searchsorted(self.seconds, duration_s))

    def unused(self, duration_s: float) -> str | None:
        """Return words on the times that are not in [0, duration_s), with the likely reason; None where all are.

        12 times in Unix seconds give `all 12 times of its Trace lie after its 10 s: the first is at 1700158546 s. They
        look like Unix time in s: write Trace(..., origin='first').`
        """
        used, count = self.used(duration_s), len(self.seconds)
        if used == count:
            return None
        first = "" if used else f": the first is at {self.seconds[0]:.10g} s"
        return (
            f"{count - used if used else 'all'} {'of ' if used else ''}{count} times of its Trace lie after its "
            f"{duration_s:g} s{first}.{self._meant(used)}"
        )

    def _meant(self, used: int) -> str:
        """Return the unit and the origin that seem meant, as a sentence; nothing where nothing speaks for others."""
        per_s = UNITS[self.unit]
        for unit, finer in UNITS.items():
            if finer >= per_s and _UNIX_FROM_S <= self.seconds[0] * per_s / finer < _UNIX_TO_S:
                given = "" if unit == self.unit else f"unit={unit!r}, "
                return f" They look like Unix time in {unit}: write Trace(..., {given}origin='first')."
        if not used:
            return " Let it begin with its first time, Trace(..., origin='first'), or make the run longer."
        if self.unit == "s" and 2 * used < len(self.seconds) and all(map(float.is_integer, self.seconds)):
            return " They are whole numbers: if they are milliseconds, write Trace(..., unit='ms')."
        return ""


@dataclass(frozen=True, slots=True)
class External:
    """Requests that a client sends while the mix runs.

    An app with `arrivals=External()` is served through `Deployment.infer("entrance", payload)` alone; a simulation
    refuses it.
    """

    def rate_hz(self, duration_s: float) -> None:
        """Return None: the mean rate is not known beforehand."""
        return None

    def times_s(self, duration_s: float, rng: np.random.Generator) -> FloatArray:
        """Return no times: the client decides."""
        return np.empty(0)


@dataclass(frozen=True, slots=True)
class Saturate:
    """A closed loop: the next request arrives when the one before it is done.

    An app with `arrivals=Saturate()` that is served in 20 ms a request makes 50 requests a second.
    """

    def rate_hz(self, duration_s: float) -> None:
        """Return None: the mean rate is not known beforehand."""
        return None

    def times_s(self, duration_s: float, rng: np.random.Generator) -> FloatArray:
        """Return no times: the server's pace decides."""
        return np.empty(0)


Arrivals: TypeAlias = Periodic | Poisson | Trace | External | Saturate


_UNIX_FROM_S, _UNIX_TO_S = 946_684_800, 4_102_444_800
"""The years 2000 to 2099 as Unix time."""


def _times(given: object, column: str | int | None, unit: str) -> tuple[str, Iterator[tuple[int, Decimal]]]:
    """Return words on where the times are, and an iterator over times in seconds, each with its line or item."""
    if isinstance(given, str | PathLike):
        path = Path(fspath(given))
        return f"Trace {str(path)!r}, line", read_times(path, column, unit)
    if column is not None:
        raise MixError(f"Trace: column={shown(column)} is for a file; of a list give the times alone.")
    try:
        items = listed("Trace", given)
    except MixError:
        raise MixError(f"Trace takes a file or a list of seconds, not {shown(given)}.") from None
    return "Trace, item", (
        (item, _exact(f"Trace, item {item}: the time", one) / UNITS[unit]) for item, one in enumerate(items)
    )


def _exact(field_: str, value: object) -> Decimal:
    """Return a number; a whole one keeps all its digits, as nanoseconds of Unix time need."""
    checked = number(field_, value)
    return Decimal(int(value) if isinstance(value, Integral) else checked)


def _ascending(where: str, times: Iterable[tuple[int, Decimal]], origin_s: Decimal | None) -> tuple[float, ...]:
    """Return times as seconds from the origin on, None for their first; they must not decrease."""
    seconds: list[float] = []
    last_s, least_s = -math.inf, 0.0 if origin_s == 0 else -math.inf
    for place, time in times:
        if origin_s is None:
            origin_s = time
        # The difference is taken before the rounding to a float: of Unix time it would leave microseconds at best.
        time_s = float(time - origin_s if origin_s and time.is_finite() else time)
        if not (math.isfinite(time_s) and time_s >= least_s):
            number(f"{where} {place}: the time", time_s, low=least_s)
        if time_s < last_s:
            raise MixError(f"{where} {place}: the time {time_s!r} is before {last_s!r}, which precedes it; sort them.")
        last_s = time_s
        if time_s >= 0:
            seconds.append(time_s)
    return tuple(seconds)

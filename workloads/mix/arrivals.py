"""The kinds of arrivals: the times at which an app's requests come.

Arrival times are generated up front from a seed, never by whoever serves the requests: a slow server must not thin out
its own load (coordinated omission). Times count from the moment when the app joins the mix. Nothing here knows about
apps, targets or queues.

Every kind has two members:

- `rate_hz`: the mean rate; None where it is not known beforehand.
- `times_s(duration_s, rng)`: the sorted times in [0, duration_s). With the same generator a shorter duration gives a
  prefix of the times of a longer one, so an app that is removed earlier has the same requests until then.
"""

import math
from collections.abc import Iterable
from dataclasses import InitVar, dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from scheduler.errors import InputError
from workloads.mix.errors import MixError, number, whole

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

    @property
    def rate_hz(self) -> float:
        """Mean rate, the `hz` given."""
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

    @property
    def rate_hz(self) -> float:
        """Mean rate, the `hz` given."""
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
    """Recorded arrival times: a list of seconds, or a text file with one time a line.

    `Trace([0.0, 0.4, 0.4, 2.5])` sends one request when the app joins, two 0.4 s later and one at 2.5 s;
    `Trace("gate.csv")` reads the times from a file.

    A relative path is looked up from the current directory. Empty lines and lines that begin with `#` are
    skipped. Times must not decrease; several requests may come at one time. Times after the end of the run
    are not used.

    Attributes:
        seconds: The times.
    """

    path_or_seconds: InitVar[str | PathLike[str] | Iterable[float]]
    seconds: tuple[float, ...] = field(init=False)

    def __post_init__(self, path_or_seconds: str | PathLike[str] | Iterable[float]) -> None:
        if isinstance(path_or_seconds, str | PathLike):
            rows = _read_rows(Path(fspath(path_or_seconds)))
        elif isinstance(path_or_seconds, Iterable) and not isinstance(path_or_seconds, bytes):
            rows = [(f"Trace, item {index}", value) for index, value in enumerate(path_or_seconds)]
        else:
            raise MixError(f"Trace takes a file or a list of seconds, not {path_or_seconds!r}.")
        if not rows:
            raise MixError(f"Trace({path_or_seconds!r}) holds no arrival time; give at least one.")
        object.__setattr__(self, "seconds", _ascending(rows))

    @property
    def rate_hz(self) -> float | None:
        """Mean rate: gaps per second from the first to the last time; None for a single moment."""
        span_s = self.seconds[-1] - self.seconds[0]
        return (len(self.seconds) - 1) / span_s if span_s > 0 else None

    def times_s(self, duration_s: float, rng: np.random.Generator) -> FloatArray:
        """Return arrival times in [0, duration_s), sorted, shape (n,); the generator is not used."""
        times_s = np.array(self.seconds)
        return times_s[times_s < duration_s]


@dataclass(frozen=True, slots=True)
class External:
    """Requests that a client sends while the mix runs.

    An app with `arrivals=External()` is served through `Deployment.infer("entrance", picture)` alone; a simulation
    refuses it.
    """

    @property
    def rate_hz(self) -> None:
        """Mean rate: not known beforehand."""
        return None

    def times_s(self, duration_s: float, rng: np.random.Generator) -> FloatArray:
        """Return no times: the client decides."""
        return np.empty(0)


@dataclass(frozen=True, slots=True)
class Saturate:
    """A closed loop: the next request arrives when the one before it is done.

    An app with `arrivals=Saturate()` that is served in 20 ms a request makes 50 requests a second.
    """

    @property
    def rate_hz(self) -> None:
        """Mean rate: not known beforehand."""
        return None

    def times_s(self, duration_s: float, rng: np.random.Generator) -> FloatArray:
        """Return no times: the server's pace decides."""
        return np.empty(0)


Arrivals: TypeAlias = Periodic | Poisson | Trace | External | Saturate


def _read_rows(path: Path) -> list[tuple[str, object]]:
    """Read (place in the file, value) for each line of a trace file that holds a value."""
    try:
        # A spreadsheet begins its files with a byte-order mark.
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise MixError(f"Trace: cannot read {str(path)!r}: {error.strerror}.") from error
    except ValueError as error:
        raise MixError(f"Trace: {str(path)!r} is not a text file: {error}.") from error
    rows: list[tuple[str, object]] = []
    for line_number, line in enumerate(map(str.strip, lines), start=1):
        if line and not line.startswith("#"):
            where = f"Trace {str(path)!r}, line {line_number}"
            try:
                rows.append((where, float(line)))
            except ValueError:
                raise MixError(f"{where}: {line!r} is not a number of seconds; write one time a line.") from None
    return rows


def _ascending(rows: list[tuple[str, object]]) -> tuple[float, ...]:
    seconds: list[float] = []
    for where, value in rows:
        time_s = number(f"{where}: the time", value, low=0)
        if seconds and time_s < seconds[-1]:
            raise MixError(f"{where}: the time {time_s!r} is before {seconds[-1]!r}, which precedes it; sort them.")
        seconds.append(time_s)
    return tuple(seconds)
